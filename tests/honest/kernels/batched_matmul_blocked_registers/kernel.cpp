#include <immintrin.h>
namespace {
void tile(const float* a, const float* b, float* to, int64_t inner, int64_t dim) {
    __m256 s[4][2];
    for (auto& r : s) r[0] = r[1] = _mm256_setzero_ps();
    for (int64_t k = 0; k < inner; ++k) {
        const __m256 b0 = _mm256_loadu_ps(b + k * dim), b1 = _mm256_loadu_ps(b + k * dim + 8);
        for (int i = 0; i < 4; ++i) {
            const __m256 x = _mm256_broadcast_ss(a + i * inner + k);
            s[i][0] = _mm256_fmadd_ps(x, b0, s[i][0]);
            s[i][1] = _mm256_fmadd_ps(x, b1, s[i][1]);
        }
    }
    for (int i = 0; i < 4; ++i) {
        _mm256_storeu_ps(to + i * dim, s[i][0]);
        _mm256_storeu_ps(to + i * dim + 8, s[i][1]);
    }
}
}  // namespace
extern "C" void kernel(const float* a, const float* b, float* out, int64_t batch, int64_t rows,
                       int64_t inner, int64_t dim) {
    #pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < batch; ++n) {
        for (int64_t r0 = 0; r0 < rows; r0 += 4) {
            const float* an = a + n * rows * inner;
            const float* bn = b + n * inner * dim;
            float* to = out + n * rows * dim;
            const int64_t wide = r0 + 4 <= rows ? dim / 16 * 16 : 0;
            for (int64_t c = 0; c < wide; c += 16)
                tile(an + r0 * inner, bn + c, to + r0 * dim + c, inner, dim);
            for (int64_t r = r0; r < std::min(rows, r0 + 4); ++r) {
                for (int64_t c = wide; c < dim; ++c) {
                    float sum = 0.0f;
                    for (int64_t k = 0; k < inner; ++k) sum += an[r * inner + k] * bn[k * dim + c];
                    to[r * dim + c] = sum;
                }
            }
        }
    }
}
