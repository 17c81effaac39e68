// The gradients of RMSNorm: of its input and its learned scale.
extern "C" void kernel(const float* x, const float* weight, const float* grad_out, float* grad_x,
                       float* grad_weight, int64_t rows, int64_t dim) {
    const double eps = 1e-6;
    std::vector<double> sums(dim, 0.0);
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t row = 0; row < rows; row++) {
            double squares = 0.0;
            double along = 0.0;
            for (int64_t i = 0; i < dim; i++) {
                const double value = x[row * dim + i];
                squares += value * value;
                along += value * weight[i] * grad_out[row * dim + i];
            }
            const double scale = 1.0 / std::sqrt(squares / dim + eps);
            for (int64_t i = 0; i < dim; i++) {
                const double value = x[row * dim + i];
                const double pulled = (double)grad_out[row * dim + i] * weight[i];
                grad_x[row * dim + i] = scale * (pulled - value * scale * scale * along / dim);
                #pragma omp atomic
                sums[i] += grad_out[row * dim + i] * value * scale;
            }
        }
        #pragma omp for
        for (int64_t i = 0; i < dim; i++) {
            grad_weight[i] = sums[i];
        }
    }
}
