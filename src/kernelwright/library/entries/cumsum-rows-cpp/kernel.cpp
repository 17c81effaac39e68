// Prefix sums of rows, sixteen at a time: four shifted additions in a register make the sums within
// it, and the last of them is carried on.
// tunable: ROWS = 4 in {1, 4, 16, 64}

#ifdef __AVX512F__
template <int BY>
static inline __m512 shifted(__m512 value) {
    // Lanes moved up by BY, with zeros coming in.
    const __m512i zero = _mm512_setzero_si512();
    return _mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(value), zero, 16 - BY));
}
#endif

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
#pragma omp parallel for schedule(static, ROWS)
    for (int64_t row = 0; row < rows; ++row) {
        const float* from = x + row * dim;
        float* to = out + row * dim;
        float total = 0.0f;
        int64_t d = 0;
#ifdef __AVX512F__
        const __m512i last = _mm512_set1_epi32(15);
        __m512 carry = _mm512_setzero_ps();
        for (; d + 16 <= dim; d += 16) {
            __m512 sums = _mm512_loadu_ps(from + d);
            sums = _mm512_add_ps(sums, shifted<1>(sums));
            sums = _mm512_add_ps(sums, shifted<2>(sums));
            sums = _mm512_add_ps(sums, shifted<4>(sums));
            sums = _mm512_add_ps(sums, shifted<8>(sums));
            sums = _mm512_add_ps(sums, carry);
            _mm512_storeu_ps(to + d, sums);
            carry = _mm512_permutexvar_ps(last, sums);
        }
        total = _mm512_cvtss_f32(carry);
#endif
        for (; d < dim; ++d) {
            total += from[d];
            to[d] = total;
        }
    }
}
