// A residual addition, then layer normalisation; both results are returned.
extern "C" void kernel(const float* x, const float* residual, const float* norm_weight,
                       const float* norm_bias, float* out0, float* out1, int64_t rows,
                       int64_t dim) {
    const double eps = 1e-5;
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        double sum = 0.0;
        for (int64_t i = 0; i < dim; i++) {
            const float total = x[row * dim + i] + residual[row * dim + i];
            out1[row * dim + i] = total;
            sum += total;
        }
        const double mean = sum / dim;
        double squares = 0.0;
        for (int64_t i = 0; i < dim; i++) {
            const double centred = out1[row * dim + i] - mean;
            squares += centred * centred;
        }
        const double scale = 1.0 / std::sqrt(squares / dim + eps);
        for (int64_t i = 0; i < dim; i++) {
            const double normal = (out1[row * dim + i] - mean) * scale;
            out0[row * dim + i] = normal * norm_weight[i] + norm_bias[i];
        }
    }
}
