// Softmax over rows. Exponentials are worked out in the registers that sum them, sixteen at a time,
// and written once; a row is scaled in the cache where it still is.
// tunable: ROWS = 8 in {1, 4, 8, 32}

#ifdef __AVX512F__
// exp for arguments of at most zero: 2^n times a polynomial in what is left, to about one unit in
// the last place. What is below the range of floats comes out as zero, by way of denormals.
static inline __m512 exponential(__m512 x) {
    x = _mm512_max_ps(x, _mm512_set1_ps(-150.0f));
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145752f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6f), r);
    __m512 p = _mm512_set1_ps(1.38319808e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.37496854e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.16694842e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.66664630e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.99999940e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}
#endif

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
#pragma omp parallel for schedule(dynamic, ROWS)
    for (int64_t row = 0; row < rows; ++row) {
        const float* from = x + row * dim;
        float* to = out + row * dim;
        float largest = -INFINITY;
#pragma omp simd reduction(max : largest)
        for (int64_t d = 0; d < dim; ++d) largest = from[d] > largest ? from[d] : largest;
        float total = 0.0f;
        int64_t d = 0;
#ifdef __AVX512F__
        const __m512 most = _mm512_set1_ps(largest);
        __m512 a = _mm512_setzero_ps(), b = a;
        for (; d + 32 <= dim; d += 32) {
            const __m512 one = exponential(_mm512_sub_ps(_mm512_loadu_ps(from + d), most));
            const __m512 two = exponential(_mm512_sub_ps(_mm512_loadu_ps(from + d + 16), most));
            _mm512_storeu_ps(to + d, one);
            _mm512_storeu_ps(to + d + 16, two);
            a = _mm512_add_ps(a, one);
            b = _mm512_add_ps(b, two);
        }
        total = _mm512_reduce_add_ps(_mm512_add_ps(a, b));
#endif
        for (; d < dim; ++d) {
            to[d] = std::exp(from[d] - largest);
            total += to[d];
        }
        const float scale = 1.0f / total;
#pragma omp simd
        for (int64_t e = 0; e < dim; ++e) to[e] *= scale;
    }
}
