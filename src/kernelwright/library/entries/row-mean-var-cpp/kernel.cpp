// The mean of a row first, then the mean square of what is off it: the second look is at the nearest
// cache. Sums are 64 partial ones, four vectors of sixteen.
// tunable: ROWS = 16 in {4, 16, 64}
// The memory AHEAD elements on is asked for early: a row ends a page, or soon will, and the processor
// does not look into the next by itself.
// tunable: AHEAD = 1024 in {0, 512, 1024, 2048}
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

constexpr int64_t PARTS = 64;
constexpr int64_t LINE = 16;  // elements of a cache line

static inline void ask_for(const float* at) {
    if (AHEAD > 0) __builtin_prefetch(at + AHEAD);
}

// The sum over a row of what `term` makes of an element.
template <class Term>
static inline float sum_of(const float* row, int64_t dim, const Term& term) {
    float part[PARTS] = {};
    int64_t d = 0;
    for (; d + PARTS <= dim; d += PARTS) {
        for (int64_t p = 0; p < PARTS; p += LINE) ask_for(row + d + p);
#pragma omp simd
        for (int64_t p = 0; p < PARTS; ++p) part[p] += term(row[d + p]);
    }
    for (int64_t p = 0; d + p < dim; ++p) part[p] += term(row[d + p]);
    for (int64_t half = PARTS / 2; half > 0; half /= 2)
        for (int64_t p = 0; p < half; ++p) part[p] += part[p + half];
    return part[0];
}

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

extern "C" void kernel(const float* x, float* out0, float* out1, int64_t rows, int64_t dim) {
    const float size = static_cast<float>(dim);
#pragma omp parallel for num_threads(workers()) schedule(dynamic, ROWS)
    for (int64_t row = 0; row < rows; ++row) {
        const float* from = x + row * dim;
        const float mean = sum_of(from, dim, [](float value) { return value; }) / size;
        out0[row] = mean;
        out1[row] = sum_of(from, dim, [mean](float value) { return (value - mean) * (value - mean); }) / size;
    }
}
