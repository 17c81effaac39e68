// The gradient of the exact GELU.
extern "C" void kernel(const float* x, const float* grad_out, float* grad_x, int64_t rows,
                       int64_t dim) {
    const double half_root = 0.70710678118654752;
    const double density = 0.39894228040143268;
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < dim; i++) {
            const double value = x[row * dim + i];
            const double share = 0.5 * std::erfc(-value * half_root);
            const double slope = share + value * density * std::exp(-0.5 * value * value);
            grad_x[row * dim + i] = grad_out[row * dim + i] * slope;
        }
    }
}
