extern "C" void kernel(const float* x, const float* weight, const float* bias, float* out, int64_t rows,
                       int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        double sum = 0.0, squares = 0.0;
        #pragma omp simd reduction(+ : sum, squares)
        for (int64_t c = 0; c < dim; ++c) {
            const double value = x[r * dim + c];
            sum += value;
            squares += value * value;
        }
        const double mean = sum / static_cast<double>(dim);
        const double variance = std::max(squares / static_cast<double>(dim) - mean * mean, 0.0);
        const double scale = 1.0 / std::sqrt(variance + 1e-5);
        for (int64_t c = 0; c < dim; ++c)
            out[r * dim + c] = static_cast<float>((x[r * dim + c] - mean) * scale * weight[c] + bias[c]);
    }
}
