// The smallest value of a row with its bias added first, sixteen lanes at a time and four vectors side
// by side, then the first element that equals it: the second look is at the nearest cache, and ends
// early. A NaN counts as the smallest, as in torch.
// The memory AHEAD elements on is asked for early: the next row is in another page, where the
// processor does not look by itself.
// tunable: ROWS = 16 in {4, 16, 64}
// tunable: AHEAD = 2048 in {0, 1024, 2048, 4096}
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

static int64_t first_nan(const float* row, const float* bias, int64_t dim) {
    int64_t d = 0;
    while (d + 1 < dim && row[d] + bias[d] == row[d] + bias[d]) ++d;
    return d;
}

#ifdef __AVX512F__
constexpr int64_t LANES = 16;
constexpr int64_t SIDE = 4;  // vectors of minima, so that none waits for the one before

static int64_t first_smallest(const float* row, const float* bias, int64_t dim) {
    const __m512 highest = _mm512_set1_ps(INFINITY);
    __m512 best[SIDE] = {highest, highest, highest, highest};
    __mmask16 nan = 0;
    int64_t d = 0;
    for (; d + SIDE * LANES <= dim; d += SIDE * LANES)
        for (int64_t s = 0; s < SIDE; ++s) {
            if (AHEAD > 0) _mm_prefetch(reinterpret_cast<const char*>(row + d + s * LANES + AHEAD), _MM_HINT_T0);
            const int64_t at = d + s * LANES;
            const __m512 value = _mm512_add_ps(_mm512_loadu_ps(row + at), _mm512_loadu_ps(bias + at));
            nan |= _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
            best[s] = _mm512_min_ps(best[s], value);
        }
    for (; d < dim; d += LANES) {
        const __mmask16 lanes = dim - d >= LANES ? 0xffff : static_cast<__mmask16>((1u << (dim - d)) - 1);
        const __m512 value = _mm512_add_ps(_mm512_mask_loadu_ps(highest, lanes, row + d),
                                           _mm512_maskz_loadu_ps(lanes, bias + d));
        nan |= _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
        best[0] = _mm512_min_ps(best[0], value);
    }
    if (nan) return first_nan(row, bias, dim);
    const __m512 pairs = _mm512_min_ps(_mm512_min_ps(best[0], best[1]), _mm512_min_ps(best[2], best[3]));
    const __m512 smallest = _mm512_set1_ps(_mm512_reduce_min_ps(pairs));
    for (d = 0; d < dim; d += LANES) {
        const __mmask16 lanes = dim - d >= LANES ? 0xffff : static_cast<__mmask16>((1u << (dim - d)) - 1);
        const __m512 value = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, row + d),
                                           _mm512_maskz_loadu_ps(lanes, bias + d));
        const __mmask16 equal = _mm512_mask_cmp_ps_mask(lanes, value, smallest, _CMP_EQ_OQ);
        if (equal) return d + __builtin_ctz(equal);
    }
    return 0;
}
#else
static int64_t first_smallest(const float* row, const float* bias, int64_t dim) {
    int64_t best = 0;
    float smallest = INFINITY;
    for (int64_t d = 0; d < dim; ++d) {
        const float value = row[d] + bias[d];
        if (value != value) return first_nan(row, bias, dim);
        if (value < smallest) smallest = value, best = d;
    }
    return best;
}
#endif

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

extern "C" void kernel(const float* x, const float* bias, int64_t* out, int64_t rows, int64_t dim) {
#pragma omp parallel for num_threads(workers()) schedule(dynamic, ROWS)
    for (int64_t row = 0; row < rows; ++row) out[row] = first_smallest(x + row * dim, bias, dim);
}
