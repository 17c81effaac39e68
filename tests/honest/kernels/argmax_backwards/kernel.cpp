extern "C" void kernel(const float* x, int64_t* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        int64_t best = dim - 1;
        for (int64_t c = dim - 2; c >= 0; --c)
            if (x[r * dim + c] >= x[r * dim + best]) best = c;
        out[r] = best;
    }
}
