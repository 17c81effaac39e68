// The four largest of each row. Sixteen elements are compared with the fourth largest so far at
// once; in a long row almost none of them is larger, so almost nothing else is done.
// tunable: ROWS = 4 in {1, 4, 16}

struct Four {
    float value[4];
    int64_t at[4];
};

// Puts an element into its place; of equals the first stays in front.
static inline void take(Four& best, float value, int64_t at) {
    if (!(value > best.value[3])) return;
    int place = 3;
    while (place > 0 && value > best.value[place - 1]) {
        best.value[place] = best.value[place - 1];
        best.at[place] = best.at[place - 1];
        --place;
    }
    best.value[place] = value;
    best.at[place] = at;
}

extern "C" void kernel(const float* x, float* out_0, int64_t* out_1, int64_t rows, int64_t dim) {
#pragma omp parallel for schedule(static, ROWS)
    for (int64_t row = 0; row < rows; ++row) {
        const float* from = x + row * dim;
        Four best;
        for (int n = 0; n < 4; ++n) {
            best.value[n] = -INFINITY;
            best.at[n] = 0;
        }
        // The first four in any case, so that places are filled even by minus infinity.
        int64_t d = 0;
        for (; d < 4 && d < dim; ++d) {
            int place = static_cast<int>(d);
            while (place > 0 && from[d] > best.value[place - 1]) {
                best.value[place] = best.value[place - 1];
                best.at[place] = best.at[place - 1];
                --place;
            }
            best.value[place] = from[d];
            best.at[place] = d;
        }
#ifdef __AVX512F__
        __m512 bound = _mm512_set1_ps(best.value[3]);
        for (; d + 64 <= dim; d += 64) {
            const __m512 a = _mm512_loadu_ps(from + d), b = _mm512_loadu_ps(from + d + 16);
            const __m512 c = _mm512_loadu_ps(from + d + 32), e = _mm512_loadu_ps(from + d + 48);
            const __m512 most = _mm512_max_ps(_mm512_max_ps(a, b), _mm512_max_ps(c, e));
            if (_mm512_cmp_ps_mask(most, bound, _CMP_GT_OQ) == 0) continue;
            const __m512 part[4] = {a, b, c, e};
            for (int p = 0; p < 4; ++p) {
                unsigned mask = _mm512_cmp_ps_mask(part[p], bound, _CMP_GT_OQ);
                while (mask) {
                    const int lane = __builtin_ctz(mask);
                    mask &= mask - 1;
                    take(best, from[d + 16 * p + lane], d + 16 * p + lane);
                }
            }
            bound = _mm512_set1_ps(best.value[3]);
        }
#endif
        for (; d < dim; ++d) take(best, from[d], d);
        for (int n = 0; n < 4; ++n) {
            out_0[row * 4 + n] = best.value[n];
            out_1[row * 4 + n] = best.at[n];
        }
    }
}
