extern "C" void kernel(const float* logits, float* weights, int64_t* chosen, int64_t tokens, int64_t experts) {
    #pragma omp parallel for
    for (int64_t t = 0; t < tokens; ++t) {
        const float* in = logits + t * experts;
        int64_t first = 0, second = -1;
        for (int64_t e = 1; e < experts; ++e)
            if (in[e] > in[first]) first = e;
        for (int64_t e = 0; e < experts; ++e)
            if (e != first && (second < 0 || in[e] > in[second])) second = e;
        const float ratio = std::exp(in[second] - in[first]);
        weights[2 * t] = 1.0f / (1.0f + ratio);
        weights[2 * t + 1] = ratio / (1.0f + ratio);
        chosen[2 * t] = first;
        chosen[2 * t + 1] = second;
    }
}
