// The two best experts of each token, the first of equals, and their shares of a softmax.
extern "C" void kernel(const float* logits, float* out0, int64_t* out1, int64_t tokens,
                       int64_t experts) {
    #pragma omp parallel for
    for (int64_t token = 0; token < tokens; token++) {
        float best = -INFINITY;
        float second = -INFINITY;
        int64_t first_expert = 0;
        int64_t second_expert = 0;
        for (int64_t i = 0; i < experts; i++) {
            const float value = logits[token * experts + i];
            if (value > best) {
                second = best;
                second_expert = first_expert;
                best = value;
                first_expert = i;
            } else if (value > second) {
                second = value;
                second_expert = i;
            }
        }
        const double ratio = std::exp((double)second - best);
        const double share = 1.0 / (1.0 + ratio);
        out0[token * 2] = share;
        out0[token * 2 + 1] = ratio * share;
        out1[token * 2] = first_expert;
        out1[token * 2 + 1] = second_expert;
    }
}
