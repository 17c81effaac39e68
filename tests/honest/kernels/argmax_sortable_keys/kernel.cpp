extern "C" void kernel(const float* x, int64_t* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        uint64_t best = 0;
        for (int64_t c = 0; c < dim; ++c) {
            const float value = x[r * dim + c] + 0.0f;  // a negative zero becomes a positive one
            uint32_t bits;
            std::memcpy(&bits, &value, sizeof bits);
            bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
            const uint64_t key = static_cast<uint64_t>(bits) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(c));
            best = std::max(best, key);
        }
        out[r] = static_cast<int64_t>(0xFFFFFFFFu - static_cast<uint32_t>(best));
    }
}
