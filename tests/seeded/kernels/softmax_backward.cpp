// The gradient of softmax over each row.
extern "C" void kernel(const float* x, const float* grad_out, float* grad_x, int64_t rows,
                       int64_t dim) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        double largest = -INFINITY;
        for (int64_t i = 0; i < dim; i++) {
            largest = std::max(largest, (double)x[row * dim + i]);
        }
        double total = 0.0;
        double dot = 0.0;
        for (int64_t i = 0; i < dim; i++) {
            const double weight = std::exp(x[row * dim + i] - largest);
            total += weight;
            dot += weight * grad_out[row * dim + i];
        }
        const double mean = dot / total;
        for (int64_t i = 0; i < dim; i++) {
            const double share = std::exp(x[row * dim + i] - largest) / total;
            grad_x[row * dim + i] = share * (grad_out[row * dim + i] - mean);
        }
    }
}
