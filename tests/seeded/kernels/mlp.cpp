// A small two-layer perceptron with a GELU between.
extern "C" void kernel(const float* x, const float* up_weight, const float* up_bias,
                       const float* down_weight, const float* down_bias, float* out, int64_t rows,
                       int64_t dim, int64_t hidden) {
    const double half_root = 0.70710678118654752;
    std::vector<double> inside(rows * hidden);
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t unit = 0; unit < hidden; unit++) {
            for (int64_t row = 0; row < rows; row++) {
                double sum = 0.0;
                for (int64_t k = 0; k < dim; k++) {
                    sum += (double)x[row * dim + k] * up_weight[unit * dim + k];
                }
                const double value = sum + up_bias[unit];
                inside[row * hidden + unit] = 0.5 * value * std::erfc(-value * half_root);
            }
        }
        #pragma omp for
        for (int64_t row = 0; row < rows; row++) {
            for (int64_t column = 0; column < dim; column++) {
                double sum = 0.0;
                for (int64_t k = 0; k < hidden; k++) {
                    sum += inside[row * hidden + k] * down_weight[column * hidden + k];
                }
                out[row * dim + column] = sum + down_bias[column];
            }
        }
    }
}
