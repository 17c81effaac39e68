#include <immintrin.h>
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const __m256i last = _mm256_set1_epi32(7);
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        float* to = out + r * dim;
        __m256 carry = _mm256_setzero_ps();
        int64_t c = 0;
        for (; c + 8 <= dim; c += 8) {
            __m256 v = _mm256_loadu_ps(in + c);
            v = _mm256_add_ps(v, _mm256_castsi256_ps(_mm256_slli_si256(_mm256_castps_si256(v), 4)));
            v = _mm256_add_ps(v, _mm256_castsi256_ps(_mm256_slli_si256(_mm256_castps_si256(v), 8)));
            const __m256 low = _mm256_permute2f128_ps(v, v, 0x08);
            v = _mm256_add_ps(v, _mm256_permute_ps(low, 0xFF));
            v = _mm256_add_ps(v, carry);
            _mm256_storeu_ps(to + c, v);
            carry = _mm256_permutevar8x32_ps(v, last);
        }
        float sum = c ? to[c - 1] : 0.0f;
        for (; c < dim; ++c) to[c] = sum += in[c];
    }
}
