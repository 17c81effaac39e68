// Log-softmax over the last axis, at a temperature.
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const double temperature = 1.5;
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        double largest = -INFINITY;
        for (int64_t i = 0; i < dim; i++) {
            largest = std::max(largest, x[row * dim + i] / temperature);
        }
        double sum = 0.0;
        for (int64_t i = 0; i < dim; i++) {
            sum += std::exp(x[row * dim + i] / temperature - largest);
        }
        const double level = std::log(sum) + largest;
        for (int64_t i = 0; i < dim; i++) {
            out[row * dim + i] = x[row * dim + i] / temperature - level;
        }
    }
}
