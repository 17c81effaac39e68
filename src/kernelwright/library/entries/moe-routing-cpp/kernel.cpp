// The two best experts of each token in one sweep of its logits. Of a softmax only the shares of two
// are asked for, and those follow from the difference of their logits: no sum over all experts.
// tunable: ROWS = 64 in {16, 64, 256}

extern "C" void kernel(const float* logits, float* out0, int64_t* out1, int64_t tokens,
                       int64_t experts) {
#pragma omp parallel for schedule(static, ROWS)
    for (int64_t token = 0; token < tokens; ++token) {
        const float* from = logits + token * experts;
        float first = from[0], second = -INFINITY;
        int64_t first_at = 0, second_at = -1;
        int64_t e = 1;
#ifdef __AVX512F__
        for (; e + 16 <= experts; e += 16) {
            // Almost never is one of sixteen among the two best so far.
            const __m512 values = _mm512_loadu_ps(from + e);
            unsigned mask = _mm512_cmp_ps_mask(values, _mm512_set1_ps(second), _CMP_GT_OQ);
            if (second_at < 0) mask = 0xffff;
            while (mask) {
                const int64_t at = e + __builtin_ctz(mask);
                mask &= mask - 1;
                const float value = from[at];
                if (value > first) {
                    second = first, second_at = first_at;
                    first = value, first_at = at;
                } else if (value > second || second_at < 0) {
                    second = value, second_at = at;
                }
            }
        }
#endif
        for (; e < experts; ++e) {
            const float value = from[e];
            if (value > first) {
                second = first, second_at = first_at;
                first = value, first_at = e;
            } else if (value > second || second_at < 0) {
                second = value, second_at = e;
            }
        }
        // After the best is taken out the first of what is left is the second, so an expert before
        // it that is as good comes first.
        const float other = std::exp(second - first);
        const float share = 1.0f / (1.0f + other);
        out0[token * 2] = share;
        out0[token * 2 + 1] = other * share;
        out1[token * 2] = first_at;
        out1[token * 2 + 1] = second_at;
    }
}
