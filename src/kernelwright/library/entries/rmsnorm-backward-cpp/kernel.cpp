// One look at a row for the two sums that its gradient needs, and one for the gradient and the row's part of
// the weight's gradient, which is at the nearest cache.
// The next row is asked for early: it is in another page, where the processor does not look by itself.
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

// Sums over rows are made in chunks of rows, each with sums of its own, so that they are the same whoever
// makes them; the first chunk's are the outputs themselves. Long rows get fewer chunks.
constexpr int64_t MOST_CHUNKS = 16;
constexpr int64_t MOST_SUMS = 1 << 20;  // elements of all chunks together
constexpr int64_t LINE = 16;   // elements of a cache line
constexpr int64_t PARTS = 32;  // partial sums, so that none waits for the one before

// Calls step(d, part) for each d below dim, in vectors of PARTS.
template <class Step>
static inline void in_parts(int64_t dim, const Step& step) {
    int64_t d = 0;
    for (; d + PARTS <= dim; d += PARTS)
#pragma omp simd
        for (int64_t p = 0; p < PARTS; ++p) step(d + p, p);
    for (int64_t p = 0; d + p < dim; ++p) step(d + p, p);
}

static inline float joined(const float (&part)[PARTS]) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t p = 0; p < PARTS; ++p) sum += part[p];
    return sum;
}
constexpr float EPS = 1e-6f;

static void row_backward(const float* x, const float* weight, const float* grad, float* grad_x, float* grad_weight,
                         int64_t dim) {
    for (int64_t d = 0; d < dim; d += LINE) {
        __builtin_prefetch(x + dim + d);
        __builtin_prefetch(grad + dim + d);
    }
    const float size = static_cast<float>(dim);
    float square_sums[PARTS] = {}, product_sums[PARTS] = {};
    in_parts(dim, [&](int64_t d, int64_t p) {
        square_sums[p] += x[d] * x[d];
        product_sums[p] += grad[d] * weight[d] * x[d];
    });
    const float squares = joined(square_sums), products = joined(product_sums);
    const float inverse = 1.0f / sqrtf(squares / size + EPS);
    const float along = inverse * inverse * products / size;
#pragma omp simd
    for (int64_t d = 0; d < dim; ++d) {
        grad_x[d] = inverse * (grad[d] * weight[d] - x[d] * along);
        grad_weight[d] += grad[d] * (x[d] * inverse);
    }
}

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

extern "C" void kernel(const float* x, const float* weight, const float* grad_out, float* grad_x, float* grad_weight,
                       int64_t rows, int64_t dim) {
    const int64_t chunks = std::max<int64_t>(1, std::min({MOST_CHUNKS, rows, MOST_SUMS / std::max<int64_t>(dim, 1)}));
    std::vector<float> sums(dim * (chunks - 1));
#pragma omp parallel for num_threads(workers()) schedule(dynamic, 1)
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        float* part = chunk == 0 ? grad_weight : sums.data() + dim * (chunk - 1);
        std::fill(part, part + dim, 0.0f);
        for (int64_t row = chunk * rows / chunks; row < (chunk + 1) * rows / chunks; ++row)
            row_backward(x + row * dim, weight, grad_out + row * dim, grad_x + row * dim, part, dim);
    }
    for (int64_t chunk = 1; chunk < chunks; ++chunk)
#pragma omp simd
        for (int64_t d = 0; d < dim; ++d) grad_weight[d] += sums[dim * (chunk - 1) + d];
}
