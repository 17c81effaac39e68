#include <immintrin.h>

__attribute__((target("avx2,fma"))) static float energy(const float* x, int64_t dim) {
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                     _mm256_setzero_ps()};
    int64_t c = 0;
    for (; c + 32 <= dim; c += 32) {
        for (int k = 0; k < 4; ++k) {
            const __m256 v = _mm256_loadu_ps(x + c + 8 * k);
            sum[k] = _mm256_fmadd_ps(v, v, sum[k]);
        }
    }
    for (; c + 8 <= dim; c += 8) {
        const __m256 v = _mm256_loadu_ps(x + c);
        sum[0] = _mm256_fmadd_ps(v, v, sum[0]);
    }
    const __m256 all = _mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3]));
    alignas(32) float lanes[8];
    _mm256_store_ps(lanes, all);
    float total = 0.0f;
    for (float lane : lanes) total += lane;
    for (; c < dim; ++c) total += x[c] * x[c];
    return total;
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for schedule(static, 4)
    for (int64_t r = 0; r < rows; ++r) out[r] = energy(x + r * dim, dim) / static_cast<float>(dim);
}
