// Layer normalisation over the last axis, with scale and bias: statistics, then the result.
extern "C" void kernel(const float* x, const float* norm_weight, const float* norm_bias, float* out,
                       int64_t rows, int64_t dim) {
    const double eps = 1e-5;
    std::vector<double> means(rows);
    std::vector<double> scales(rows);
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
            means[row] = mean;
            scales[row] = 1.0 / std::sqrt(squares / dim + eps);
        }
        #pragma omp for
        for (int64_t i = 0; i < dim; i++) {
            for (int64_t row = 0; row < rows; row++) {
                const double normal = (x[row * dim + i] - means[row]) * scales[row];
                out[row * dim + i] = normal * norm_weight[i] + norm_bias[i];
            }
        }
    }
}
