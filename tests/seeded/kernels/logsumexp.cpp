// The logarithm of the sum of exponentials of each row.
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        double largest = -INFINITY;
        for (int64_t i = 0; i < dim; i++) {
            largest = std::max(largest, (double)x[row * dim + i]);
        }
        double sum = 0.0;
        for (int64_t i = 0; i < dim; i++) {
            sum += std::exp(x[row * dim + i] - largest);
        }
        out[row] = largest + std::log(sum);
    }
}
