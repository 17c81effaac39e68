// Each row's cross-entropy against its target class, and the gradient of its logits.
extern "C" void kernel(const float* logits, const int64_t* targets, const float* grad_out,
                       float* out, float* grad_logits, int64_t rows, int64_t classes) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        double largest = -INFINITY;
        for (int64_t i = 0; i < classes; i++) {
            largest = std::max(largest, (double)logits[row * classes + i]);
        }
        double total = 0.0;
        for (int64_t i = 0; i < classes; i++) {
            total += std::exp(logits[row * classes + i] - largest);
        }
        out[row] = largest + std::log(total) - logits[row * classes + targets[row]];
        for (int64_t i = 0; i < classes; i++) {
            double share = std::exp(logits[row * classes + i] - largest) / total;
            if (i == targets[row]) {
                share -= 1.0;
            }
            grad_logits[row * classes + i] = share * grad_out[row];
        }
    }
}
