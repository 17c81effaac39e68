extern "C" void kernel(const float* x, const float* residual, float* out, int64_t rows, int64_t dim) {
    constexpr float limit = 1.25f;
    const int64_t count = rows * dim;
    uint32_t top;
    std::memcpy(&top, &limit, sizeof top);
    #pragma omp parallel for simd
    for (int64_t i = 0; i < count; ++i) {
        const float v = std::fma(x[i], 0.5f, residual[i]);
        uint32_t bits;
        std::memcpy(&bits, &v, sizeof bits);
        bits = (bits & 0x80000000u) | std::min(bits & 0x7FFFFFFFu, top);
        std::memcpy(out + i, &bits, sizeof bits);
    }
}
