#include <immintrin.h>

__attribute__((target("f16c"))) static float widen(uint16_t bits) { return _cvtsh_ss(bits); }
__attribute__((target("f16c"))) static uint16_t narrow(float value) {
    return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT);
}

extern "C" void kernel(const uint16_t* x, uint16_t* out, int64_t rows, int64_t dim) {
    for (int64_t r = 0; r < rows; ++r) {
        const uint16_t* in = x + r * dim;
        float top = widen(in[0]), sum = 1.0f;
        for (int64_t c = 1; c < dim; ++c) {
            const float value = widen(in[c]);
            sum = value > top ? sum * std::exp(top - value) + 1.0f : sum + std::exp(value - top);
            top = std::max(top, value);
        }
        for (int64_t c = 0; c < dim; ++c) out[r * dim + c] = narrow(std::exp(widen(in[c]) - top) / sum);
    }
}
