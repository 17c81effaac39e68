// The gradients of layer normalisation: of its input, its scale and its bias.
extern "C" void kernel(const float* x, const float* norm_weight, const float* norm_bias,
                       const float* grad_out, float* grad_x, float* grad_norm_weight,
                       float* grad_norm_bias, int64_t rows, int64_t dim) {
    const double eps = 1e-5;
    std::vector<double> weight_sums(dim, 0.0);
    std::vector<double> bias_sums(dim, 0.0);
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t row = 0; row < rows; row++) {
            double sum = 0.0;
            for (int64_t i = 0; i < dim; i++) {
                sum += x[row * dim + i];
            }
            const double mean = sum / dim;
            double squares = 0.0;
            for (int64_t i = 0; i < dim; i++) {
                const double centred = x[row * dim + i] - mean;
                squares += centred * centred;
            }
            const double scale = 1.0 / std::sqrt(squares / dim + eps);
            double slope = 0.0;
            double along = 0.0;
            for (int64_t i = 0; i < dim; i++) {
                const double normal = (x[row * dim + i] - mean) * scale;
                const double pulled = (double)grad_out[row * dim + i] * norm_weight[i];
                slope += pulled;
                along += pulled * normal;
                #pragma omp atomic
                weight_sums[i] += grad_out[row * dim + i] * normal;
                #pragma omp atomic
                bias_sums[i] += grad_out[row * dim + i];
            }
            for (int64_t i = 0; i < dim; i++) {
                const double normal = (x[row * dim + i] - mean) * scale;
                const double pulled = (double)grad_out[row * dim + i] * norm_weight[i];
                grad_x[row * dim + i] = scale * (pulled - slope / dim - normal * along / dim);
            }
        }
        #pragma omp for
        for (int64_t i = 0; i < dim; i++) {
            grad_norm_weight[i] = weight_sums[i];
            grad_norm_bias[i] = bias_sums[i];
        }
    }
}
