// A linear layer and a ReLU: matmul with an epilogue.
extern "C" void kernel(const float* x, const float* linear_weight, const float* linear_bias,
                       float* out, int64_t rows, int64_t inner, int64_t dim) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t column = 0; column < dim; column++) {
            double sum = 0.0;
            for (int64_t k = 0; k < inner; k++) {
                sum += (double)x[row * inner + k] * linear_weight[column * inner + k];
            }
            out[row * dim + column] = std::max(sum + linear_bias[column], 0.0);
        }
    }
}
