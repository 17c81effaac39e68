// Bias and GELU in one vector loop, a row at a time.
// tunable: ROWS = 16 in {4, 16, 64}
// The memory AHEAD elements on is asked for early: the next row is in another page, where the
// processor does not look by itself.
// tunable: AHEAD = 1024 in {0, 512, 1024, 2048}
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

constexpr int64_t LINE = 16;  // elements of a cache line

static inline void ask_for(const float* row, int64_t dim) {
    if (AHEAD > 0)
        for (int64_t d = 0; d < dim; d += LINE) __builtin_prefetch(row + d + AHEAD);
}

constexpr float ROOT_HALF = 0.70710678f;

extern "C" void kernel(const float* x, const float* bias, float* out, int64_t rows, int64_t dim) {
#pragma omp parallel for num_threads(workers()) schedule(dynamic, ROWS)
    for (int64_t row = 0; row < rows; ++row) {
        const float* from = x + row * dim;
        float* to = out + row * dim;
        ask_for(from, dim);
#pragma omp simd
        for (int64_t d = 0; d < dim; ++d) {
            const float value = from[d] + bias[d];
            to[d] = 0.5f * value * (1.0f + erff(value * ROOT_HALF));
        }
    }
}
