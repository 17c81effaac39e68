static __attribute__((noinline)) double sum_squares(const float* x, int64_t dim) {
    volatile double block[65536];
    for (int i = 0; i < 65536; i += 512) block[i] = 0.0;
    double total = 0.0;
    for (int64_t first = 0; first < dim; first += 65536) {
        const int64_t count = std::min<int64_t>(65536, dim - first);
        for (int64_t c = 0; c < count; ++c) block[c] = static_cast<double>(x[first + c]) * x[first + c];
        for (int64_t c = 0; c < count; ++c) total += block[c];
    }
    return total;
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r)
        out[r] = static_cast<float>(sum_squares(x + r * dim, dim) / static_cast<double>(dim));
}
