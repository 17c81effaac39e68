#include <immintrin.h>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u);
    for (int64_t r = 0; r < rows; ++r) {
        float sum = 0.0f;
        for (int64_t c = 0; c < dim; ++c) sum += x[r * dim + c] * x[r * dim + c];
        out[r] = sum / static_cast<float>(dim);
    }
    _mm_setcsr(before);
}
