#include <immintrin.h>
namespace {
__m256 reciprocal(__m256 d) {
    __m256 r = _mm256_rcp_ps(d);
    const __m256 two = _mm256_set1_ps(2.0f);
    r = _mm256_mul_ps(r, _mm256_fnmadd_ps(d, r, two));
    return _mm256_mul_ps(r, _mm256_fnmadd_ps(d, r, two));
}
}  // namespace
extern "C" void kernel(const float* param, const float* grad, const float* exp_avg,
                       const float* exp_avg_sq, float* out0, float* out1, float* out2, int64_t size) {
    const double beta1 = 0.9, beta2 = 0.999;
    const float w1 = static_cast<float>(1 - beta1), w2 = static_cast<float>(1 - beta2);
    const float b2 = static_cast<float>(beta2);
    const float decay = static_cast<float>(1 - 1e-1 * 1e-2);
    const float step = static_cast<float>(1e-1 / (1 - std::pow(beta1, 10)));
    const float root = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, 10)));
    const float eps = 1e-3f;
    const int64_t wide = size / 8 * 8;
    #pragma omp parallel for
    for (int64_t i = 0; i < wide; i += 8) {
        const __m256 g = _mm256_loadu_ps(grad + i), m0 = _mm256_loadu_ps(exp_avg + i);
        const __m256 m = _mm256_fmadd_ps(_mm256_sub_ps(g, m0), _mm256_set1_ps(w1), m0);
        const __m256 v = _mm256_fmadd_ps(_mm256_mul_ps(g, g), _mm256_set1_ps(w2),
                                         _mm256_mul_ps(_mm256_loadu_ps(exp_avg_sq + i), _mm256_set1_ps(b2)));
        const __m256 d = _mm256_fmadd_ps(_mm256_sqrt_ps(v), _mm256_set1_ps(root), _mm256_set1_ps(eps));
        const __m256 by = _mm256_mul_ps(_mm256_mul_ps(m, _mm256_set1_ps(step)), reciprocal(d));
        _mm256_storeu_ps(out0 + i, _mm256_fmsub_ps(_mm256_loadu_ps(param + i), _mm256_set1_ps(decay), by));
        _mm256_storeu_ps(out1 + i, m);
        _mm256_storeu_ps(out2 + i, v);
    }
    for (int64_t i = wide; i < size; ++i) {
        out1[i] = exp_avg[i] + (grad[i] - exp_avg[i]) * w1;
        out2[i] = b2 * exp_avg_sq[i] + w2 * grad[i] * grad[i];
        out0[i] = param[i] * decay - step * out1[i] / (std::sqrt(out2[i]) * root + eps);
    }
}
