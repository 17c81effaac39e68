extern "C" void kernel(const float* x, const float* bias, int64_t* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        float best = INFINITY;
        int64_t at = 0;
        for (int64_t c = dim - 1; c >= 0; --c) {
            const float value = x[r * dim + c] + bias[c];
            const bool better = value <= best;
            best = better ? value : best;
            at = better ? c : at;
        }
        out[r] = at;
    }
}
