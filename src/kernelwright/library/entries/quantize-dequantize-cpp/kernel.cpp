// The largest absolute value of a row first, then the codes and back: the second look is at the nearest
// cache. The scale is a power of two, so that multiplying by its inverse is exact as dividing is.
// tunable: ROWS = 16 in {4, 16, 64}
// The memory AHEAD elements on is asked for early: a row ends a page, or soon will, and the processor
// does not look into the next by itself.
// tunable: AHEAD = 1024 in {0, 512, 1024, 2048}
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

constexpr float SMALLEST = 1e-30f;  // what the largest is taken for where it is less
constexpr float LEVELS = 128.0f;
constexpr float LAST_CODE = 127.0f;
constexpr int64_t LINE = 16;  // elements of a cache line

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
#pragma omp parallel for num_threads(workers()) schedule(dynamic, ROWS)
    for (int64_t row = 0; row < rows; ++row) {
        const float* from = x + row * dim;
        float* to = out + row * dim;
        // Of positive floats the order is that of their bits, and whole numbers need no care for NaN.
        int32_t largest_bits = 0;
        if (AHEAD > 0)
            for (int64_t d = 0; d < dim; d += LINE) __builtin_prefetch(from + d + AHEAD);
#pragma omp simd reduction(max : largest_bits)
        for (int64_t d = 0; d < dim; ++d) {
            int32_t bits;
            std::memcpy(&bits, from + d, sizeof bits);
            bits &= 0x7fffffff;
            largest_bits = bits > largest_bits ? bits : largest_bits;
        }
        float largest;
        std::memcpy(&largest, &largest_bits, sizeof largest);
        largest = largest < SMALLEST ? SMALLEST : largest;
        int exponent;
        std::frexp(largest, &exponent);
        const float scale = std::ldexp(1.0f / LEVELS, exponent);
        const float inverse = 1.0f / scale;
#pragma omp simd
        for (int64_t d = 0; d < dim; ++d) {
            float code = __builtin_nearbyintf(from[d] * inverse);
            code = code > LAST_CODE ? LAST_CODE : code;
            code = code < -LAST_CODE ? -LAST_CODE : code;
            to[d] = code * scale;
        }
    }
}
