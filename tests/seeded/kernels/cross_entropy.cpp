// Cross-entropy of each row against its target class.
extern "C" void kernel(const float* logits, const int64_t* targets, float* out, int64_t rows,
                       int64_t classes) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        float largest = -INFINITY;
        for (int64_t i = 0; i < classes; i++) {
            largest = std::max(largest, logits[row * classes + i]);
        }
        double sum = 0.0;
        for (int64_t i = 0; i < classes; i++) {
            sum += std::exp((double)logits[row * classes + i] - largest);
        }
        const double chosen = logits[row * classes + targets[row]];
        out[row] = std::log(sum) + largest - chosen;
    }
}
