// The largest of a row first, then the sum of exponentials of what is above it: the second look is at the
// nearest cache. Both go sixteen lanes at a time, four vectors side by side.
// The memory AHEAD elements on is asked for early: the next row is in another page, where the
// processor does not look by itself.
// tunable: ROWS = 16 in {4, 16, 64}
// tunable: AHEAD = 1024 in {0, 1024, 2048, 4096}
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

#ifdef __AVX512F__
constexpr int64_t LANES = 16;

// The lanes of a vector of which the first `left` are inside.
static inline __mmask16 lanes_of(int64_t left) {
    return left >= LANES ? 0xffff : left <= 0 ? 0 : static_cast<__mmask16>((1u << left) - 1);
}

constexpr float LOWEST = -87.0f;  // exp of less is denormal

// exp of each lane, for x up to 88: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial of degree 6 for
// exp(r), and 2^n by scalef. ln 2 is in two parts, so that r is exact. What is below the normal floats
// becomes 0: with denormals every instruction that meets them costs a hundred cycles more.
static inline __m512 exp_lanes(__m512 x) {
    const __mmask16 normal = _mm512_cmp_ps_mask(x, _mm512_set1_ps(LOWEST), _CMP_NLT_UQ);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.0f / 720);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_maskz_scalef_ps(normal, p, n);
}

constexpr int64_t SIDE = 4;  // vectors side by side, so that none waits for the one before

static float largest_of(const float* row, int64_t size) {
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 best[SIDE] = {lowest, lowest, lowest, lowest};
    int64_t d = 0;
    for (; d + SIDE * LANES <= size; d += SIDE * LANES)
        for (int64_t s = 0; s < SIDE; ++s) {
            if (AHEAD > 0) _mm_prefetch(reinterpret_cast<const char*>(row + d + s * LANES + AHEAD), _MM_HINT_T0);
            best[s] = _mm512_max_ps(best[s], _mm512_loadu_ps(row + d + s * LANES));
        }
    for (; d < size; d += LANES)
        best[0] = _mm512_max_ps(best[0], _mm512_mask_loadu_ps(lowest, lanes_of(size - d), row + d));
    return _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(best[0], best[1]), _mm512_max_ps(best[2], best[3])));
}

// The sum of exp(x - top) over a row.
static float sum_of_exp(const float* row, int64_t size, float top) {
    const __m512 shift = _mm512_set1_ps(top);
    __m512 sum[SIDE] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    int64_t d = 0;
    for (; d + SIDE * LANES <= size; d += SIDE * LANES)
        for (int64_t s = 0; s < SIDE; ++s) {
            const __m512 less = _mm512_sub_ps(_mm512_loadu_ps(row + d + s * LANES), shift);
            sum[s] = _mm512_add_ps(sum[s], exp_lanes(less));
        }
    for (; d < size; d += LANES) {
        const __mmask16 lanes = lanes_of(size - d);
        const __m512 less = _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, row + d), shift);
        sum[0] = _mm512_mask_add_ps(sum[0], lanes, sum[0], exp_lanes(less));
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}
#else
static float largest_of(const float* row, int64_t size) {
    float best = -INFINITY;
#pragma omp simd reduction(max : best)
    for (int64_t d = 0; d < size; ++d) best = std::max(best, row[d]);
    return best;
}

// The sum of exp(x - top) over a row.
static float sum_of_exp(const float* row, int64_t size, float top) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < size; ++d) sum += expf(row[d] - top);
    return sum;
}
#endif

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
#pragma omp parallel for num_threads(workers()) schedule(dynamic, ROWS)
    for (int64_t row = 0; row < rows; ++row) {
        const float* from = x + row * dim;
        const float top = largest_of(from, dim);
        // Of a row of infinities, or of none at all, that is the answer.
        out[row] = std::isinf(top) ? top : top + logf(sum_of_exp(from, dim, top));
    }
}
