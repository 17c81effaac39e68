#include <immintrin.h>

// exp(x) for x <= 0: 2^n * p(r) with r = x - n ln 2 in two steps. Below -87.3 it rounds to 0.
__attribute__((target("avx2,fma"))) static inline __m256 exp8(__m256 x) {
    const __m256 low = _mm256_set1_ps(-87.3f);
    const __m256 alive = _mm256_cmp_ps(x, low, _CMP_GT_OQ);
    x = _mm256_max_ps(x, low);
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), 0x08);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.0f / 5040);
    for (float k : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
        p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(k));
    const __m256i power = _mm256_slli_epi32(
        _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_and_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(power)), alive);
}

__attribute__((target("avx2,fma"))) static void row(const float* in, float* out, int64_t dim) {
    float top = in[0];
    for (int64_t c = 1; c < dim; ++c) top = std::max(top, in[c]);
    const __m256 shift = _mm256_set1_ps(top);
    __m256 sums = _mm256_setzero_ps();
    alignas(32) float lanes[8];
    int64_t c = 0;
    for (; c + 8 <= dim; c += 8) {
        const __m256 e = exp8(_mm256_sub_ps(_mm256_loadu_ps(in + c), shift));
        _mm256_storeu_ps(out + c, e);
        sums = _mm256_add_ps(sums, e);
    }
    _mm256_store_ps(lanes, sums);
    float sum = 0.0f;
    for (float lane : lanes) sum += lane;
    if (c < dim) {
        std::fill(lanes, lanes + 8, top);
        std::copy(in + c, in + dim, lanes);
        _mm256_store_ps(lanes, exp8(_mm256_sub_ps(_mm256_load_ps(lanes), shift)));
        for (int64_t k = 0; c + k < dim; ++k) sum += out[c + k] = lanes[k];
    }
    for (int64_t k = 0; k < dim; ++k) out[k] /= sum;
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) row(x + r * dim, out + r * dim, dim);
}
