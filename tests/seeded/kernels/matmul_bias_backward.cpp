// The gradients of a linear layer: of its input, its weights and its bias.
extern "C" void kernel(const float* x, const float* linear_weight, const float* linear_bias,
                       const float* grad_out, float* grad_x, float* grad_linear_weight,
                       float* grad_linear_bias, int64_t rows, int64_t inner, int64_t dim) {
    std::vector<double> sums(dim, 0.0);
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t row = 0; row < rows; row++) {
            for (int64_t k = 0; k < inner; k++) {
                double sum = 0.0;
                for (int64_t column = 0; column < dim; column++) {
                    const double pulled = grad_out[row * dim + column];
                    sum += pulled * linear_weight[column * inner + k];
                }
                grad_x[row * inner + k] = sum;
            }
            for (int64_t column = 0; column < dim; column++) {
                #pragma omp atomic
                sums[column] += grad_out[row * dim + column];
            }
        }
        #pragma omp for
        for (int64_t column = 0; column < dim; column++) {
            for (int64_t k = 0; k < inner; k++) {
                double sum = 0.0;
                for (int64_t row = 0; row < rows; row++) {
                    sum += (double)grad_out[row * dim + column] * x[row * inner + k];
                }
                grad_linear_weight[column * inner + k] = sum;
            }
            grad_linear_bias[column] = sums[column];
        }
    }
}
