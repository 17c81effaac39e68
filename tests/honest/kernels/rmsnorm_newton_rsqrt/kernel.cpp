#include <immintrin.h>

static float rsqrt(float value) {
    float y = _mm_cvtss_f32(_mm_rsqrt_ss(_mm_set_ss(value)));
    y = y * (1.5f - 0.5f * value * y * y);
    return y * (1.5f - 0.5f * value * y * y);
}

extern "C" void kernel(const float* x, const float* weight, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        float squares = 0.0f;
        #pragma omp simd reduction(+ : squares)
        for (int64_t c = 0; c < dim; ++c) squares += in[c] * in[c];
        const float scale = rsqrt(squares / static_cast<float>(dim) + 1e-6f);
        #pragma omp simd
        for (int64_t c = 0; c < dim; ++c) out[r * dim + c] = in[c] * scale * weight[c];
    }
}
