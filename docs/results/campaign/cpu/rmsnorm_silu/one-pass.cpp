// The sum of squares of a row first, then norm, scale and SiLU in one pass, while it is in the nearest cache.
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

constexpr float EPS = 1e-6f;

extern "C" void kernel(const float* x, const float* weight, float* out, int64_t rows, int64_t dim) {
#pragma omp parallel for num_threads(workers()) schedule(dynamic, ROWS)
    for (int64_t row = 0; row < rows; ++row) {
        const float* from = x + row * dim;
        float* to = out + row * dim;
        ask_for(from, dim);
        float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
        for (int64_t d = 0; d < dim; ++d) squares += from[d] * from[d];
        const float inverse = 1.0f / sqrtf(squares / static_cast<float>(dim) + EPS);
#pragma omp simd
        for (int64_t d = 0; d < dim; ++d) {
            const float normed = from[d] * inverse * weight[d];
            to[d] = normed / (1.0f + expf(-normed));
        }
    }
}
