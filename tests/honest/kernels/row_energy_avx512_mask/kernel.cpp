#include <immintrin.h>

__attribute__((target("avx512f"))) static float energy(const float* x, int64_t dim) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t c = 0; c < dim; c += 16) {
        const int64_t left = dim - c;
        const __mmask16 mask = left >= 16 ? 0xFFFF : static_cast<__mmask16>((1u << left) - 1u);
        const __m512 v = _mm512_maskz_loadu_ps(mask, x + c);
        sum = _mm512_fmadd_ps(v, v, sum);
    }
    return _mm512_reduce_add_ps(sum);
}

static float plain(const float* x, int64_t dim) {
    float sum = 0.0f;
    for (int64_t c = 0; c < dim; ++c) sum += x[c] * x[c];
    return sum;
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const bool wide = __builtin_cpu_supports("avx512f");
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = x + r * dim;
        out[r] = (wide ? energy(row, dim) : plain(row, dim)) / static_cast<float>(dim);
    }
}
