extern "C" void kernel(const float* logits, float* out0, int64_t* out1, int64_t tokens, int64_t experts) {
    const auto key = [](float v, int64_t c) {
        uint32_t bits;
        v += 0.0f;
        std::memcpy(&bits, &v, sizeof bits);
        bits ^= bits >> 31 ? 0xFFFFFFFFu : 0x80000000u;
        return static_cast<uint64_t>(bits) << 32 | static_cast<uint32_t>(~c);
    };
    #pragma omp parallel for
    for (int64_t t = 0; t < tokens; ++t) {
        const float* in = logits + t * experts;
        uint64_t first = 0, second = 0;
        for (int64_t e = 0; e < experts; ++e) {
            const uint64_t k = key(in[e], e);
            second = std::max(second, std::min(first, k));
            first = std::max(first, k);
        }
        const int64_t i = ~static_cast<uint32_t>(first), j = ~static_cast<uint32_t>(second);
        const float share = 1.0f / (1.0f + std::exp(in[j] - in[i]));
        out0[2 * t] = share;
        out0[2 * t + 1] = 1.0f - share;
        out1[2 * t] = i;
        out1[2 * t + 1] = j;
    }
}
