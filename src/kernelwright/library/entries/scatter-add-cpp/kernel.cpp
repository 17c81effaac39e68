// A strip of columns is one thread's, so that no two add to the same element: it copies the base, then takes
// the picks in their order. The values of a later pick are asked for early.
// tunable: STRIP = 64 in {32, 64, 128}
// tunable: AHEAD = 8 in {0, 4, 8, 16}
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

constexpr int64_t LINE = 16;  // elements of a cache line

extern "C" void kernel(const float* base, const int64_t* index, const float* values, float* out, int64_t rows,
                       int64_t dim, int64_t picks) {
#pragma omp parallel for num_threads(workers()) schedule(dynamic, 1)
    for (int64_t first = 0; first < dim; first += STRIP) {
        const int64_t size = std::min<int64_t>(STRIP, dim - first);
        for (int64_t row = 0; row < rows; ++row)
            std::memcpy(out + row * dim + first, base + row * dim + first, size * sizeof(float));
        for (int64_t pick = 0; pick < picks; ++pick) {
            const float* from = values + pick * dim + first;
            float* to = out + index[pick] * dim + first;
            if (AHEAD > 0)
                for (int64_t d = 0; d < size; d += LINE) __builtin_prefetch(from + AHEAD * dim + d);
#pragma omp simd
            for (int64_t d = 0; d < size; ++d) to[d] += from[d];
        }
    }
}
