#include <immintrin.h>

__attribute__((target("avx2,fma"))) static float energy(const float* x, int64_t dim) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256 sum = _mm256_setzero_ps();
    for (int64_t c = 0; c < dim; c += 8) {
        const int left = static_cast<int>(std::min<int64_t>(dim - c, 8));
        const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(left), lanes);
        const __m256 v = _mm256_maskload_ps(x + c, mask);
        sum = _mm256_fmadd_ps(v, v, sum);
    }
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
    half = _mm_hadd_ps(half, half);
    return _mm_cvtss_f32(_mm_hadd_ps(half, half));
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    for (int64_t r = 0; r < rows; ++r) out[r] = energy(x + r * dim, dim) / static_cast<float>(dim);
}
