extern "C" void kernel(const float* x, const float* bias, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < dim; ++c) {
            const float v = x[r * dim + c] + bias[c];
            out[r * dim + c] = static_cast<float>(0.5 * v * std::erfc(-v * 0.70710678118654752440));
        }
    }
}
