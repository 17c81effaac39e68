// Cross-entropy of rows of logits: the largest, then the sum of exponentials while the row is still in
// the cache, and one logit picked. Rows whose target is -100 are left out.
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

extern "C" void kernel(const float* logits, const int64_t* targets, float* out, int64_t rows,
                       int64_t classes) {
#pragma omp parallel for schedule(dynamic, ROWS)
    for (int64_t row = 0; row < rows; ++row) {
        const int64_t target = targets[row];
        if (target == -100) {
            out[row] = 0.0f;
            continue;
        }
        const float* from = logits + row * classes;
        float largest = -INFINITY;
#pragma omp simd reduction(max : largest)
        for (int64_t c = 0; c < classes; ++c) largest = from[c] > largest ? from[c] : largest;
        float total = 0.0f;
        int64_t c = 0;
#ifdef __AVX512F__
        const __m512 most = _mm512_set1_ps(largest);
        __m512 a = _mm512_setzero_ps(), b = a;
        for (; c + 32 <= classes; c += 32) {
            a = _mm512_add_ps(a, exponential(_mm512_sub_ps(_mm512_loadu_ps(from + c), most)));
            b = _mm512_add_ps(b, exponential(_mm512_sub_ps(_mm512_loadu_ps(from + c + 16), most)));
        }
        total = _mm512_reduce_add_ps(_mm512_add_ps(a, b));
#endif
        for (; c < classes; ++c) total += std::exp(from[c] - largest);
        out[row] = std::log(total) - (from[target] - largest);
    }
}
