// The largest of a row's absolute values as whole numbers: without their sign, floats are in the order of
// their bits, and a NaN is above them all, as in torch. Four vectors of sixteen go side by side.
// tunable: ROWS = 16 in {4, 16, 64}
// The memory AHEAD elements on is asked for early: a row ends a page, and the processor does not look into
// the next by itself.
// tunable: AHEAD = 2048 in {0, 1024, 2048, 4096}
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

constexpr int64_t PARTS = 64;
constexpr int64_t LINE = 16;  // elements of a cache line
constexpr int32_t NO_SIGN = 0x7fffffff;

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

static inline int32_t bits_of(const float* at) {
    int32_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return bits & NO_SIGN;
}

static float largest_of(const float* row, int64_t dim) {
    int32_t part[PARTS] = {};
    int64_t d = 0;
    for (; d + PARTS <= dim; d += PARTS) {
        if (AHEAD > 0)
            for (int64_t p = 0; p < PARTS; p += LINE) __builtin_prefetch(row + d + p + AHEAD);
#pragma omp simd
        for (int64_t p = 0; p < PARTS; ++p) part[p] = std::max(part[p], bits_of(row + d + p));
    }
    for (int64_t p = 0; d + p < dim; ++p) part[p] = std::max(part[p], bits_of(row + d + p));
    int32_t bits = 0;
#pragma omp simd reduction(max : bits)
    for (int64_t p = 0; p < PARTS; ++p) bits = part[p] > bits ? part[p] : bits;
    float largest;
    std::memcpy(&largest, &bits, sizeof largest);
    return largest;
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
#pragma omp parallel for num_threads(workers()) schedule(dynamic, ROWS)
    for (int64_t row = 0; row < rows; ++row) out[row] = largest_of(x + row * dim, dim);
}
