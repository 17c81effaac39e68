// RMSNorm over rows: one pass for the squares while the row comes into the cache, one that writes.
// tunable: STREAM = 1 in {0, 1}
// tunable: ROWS = 4 in {1, 4, 16, 64}
#define EPS 1e-06f

extern "C" void kernel(const float* x, const float* weight, float* out, int64_t rows, int64_t dim) {
#pragma omp parallel for schedule(static, ROWS)
    for (int64_t row = 0; row < rows; ++row) {
        const float* from = x + row * dim;
        float* to = out + row * dim;
        float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
        for (int64_t d = 0; d < dim; ++d) squares += from[d] * from[d];
        const float scale = 1.0f / std::sqrt(squares / static_cast<float>(dim) + EPS);
        int64_t d = 0;
#if STREAM && defined(__AVX512F__)
        // Whole cache lines of the output go past the cache: nobody here reads them again.
        for (; d < dim && (reinterpret_cast<uintptr_t>(to + d) & 63); ++d)
            to[d] = from[d] * scale * weight[d];
        const __m512 factor = _mm512_set1_ps(scale);
        for (; d + 16 <= dim; d += 16) {
            const __m512 value = _mm512_mul_ps(_mm512_loadu_ps(from + d), factor);
            _mm512_stream_ps(to + d, _mm512_mul_ps(value, _mm512_loadu_ps(weight + d)));
        }
#endif
        for (; d < dim; ++d) to[d] = from[d] * scale * weight[d];
    }
#if STREAM && defined(__AVX512F__)
#pragma omp parallel
    _mm_sfence();
#endif
}
