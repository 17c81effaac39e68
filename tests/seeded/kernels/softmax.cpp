// Softmax over the last axis.
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        float largest = -INFINITY;
        for (int64_t i = 0; i < dim; i++) {
            largest = std::max(largest, x[row * dim + i]);
        }
        double sum = 0.0;
        for (int64_t i = 0; i < dim; i++) {
            const float weight = std::exp(x[row * dim + i] - largest);
            out[row * dim + i] = weight;
            sum += weight;
        }
        for (int64_t i = 0; i < dim; i++) {
            out[row * dim + i] = out[row * dim + i] / sum;
        }
    }
}
