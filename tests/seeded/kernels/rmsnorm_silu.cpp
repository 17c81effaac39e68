// RMSNorm with a learned scale, then SiLU.
extern "C" void kernel(const float* x, const float* weight, float* out, int64_t rows, int64_t dim) {
    const double eps = 1e-6;
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        double sum = 0.0;
        for (int64_t i = 0; i < dim; i++) {
            sum += (double)x[row * dim + i] * x[row * dim + i];
        }
        const double scale = 1.0 / std::sqrt(sum / dim + eps);
        for (int64_t i = 0; i < dim; i++) {
            const double value = x[row * dim + i] * scale * weight[i];
            out[row * dim + i] = value / (1.0 + std::exp(-value));
        }
    }
}
