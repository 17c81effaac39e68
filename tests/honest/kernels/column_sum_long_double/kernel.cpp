extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    for (int64_t c = 0; c < dim; ++c) {
        long double sum = 0.0L;
        for (int64_t r = 0; r < rows; ++r) sum += x[r * dim + c];
        out[c] = static_cast<float>(sum);
    }
}
