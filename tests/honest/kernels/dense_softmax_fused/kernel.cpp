extern "C" void kernel(const float* x, const float* weight, const float* bias, float* out, int64_t rows,
                       int64_t inner, int64_t classes) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        float top = -INFINITY, sum = 0.0f;
        float* to = out + r * classes;
        for (int64_t c = 0; c < classes; ++c) {
            float score = 0.0f;
            #pragma omp simd reduction(+ : score)
            for (int64_t k = 0; k < inner; ++k) score += x[r * inner + k] * weight[c * inner + k];
            to[c] = score += bias[c];
            if (score > top) {
                sum = sum * std::exp(top - score) + 1.0f;
                top = score;
            } else {
                sum += std::exp(score - top);
            }
        }
        for (int64_t c = 0; c < classes; ++c) to[c] = std::exp(to[c] - top) / sum;
    }
}
