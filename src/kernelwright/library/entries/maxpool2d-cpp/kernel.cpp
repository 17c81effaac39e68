// The largest of each 3 by 3 window, at a stride of 2, in registers alone. 32 columns of three rows
// become one by two maxima; its even and odd columns are two vectors of 16, and a window is an even
// column, the odd one after it and the odd one before it, which is a lane of the vector before.
// What lies outside of the image is minus infinity, through masked loads.
// tunable: PLANES = 4 in {1, 4, 16}
// The memory AHEAD elements on is asked for early: a row ends a page, or soon will, and the processor
// does not look into the next by itself.
// tunable: AHEAD = 1024 in {0, 512, 1024, 2048}
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

constexpr int64_t STRIDE = 2;
constexpr int64_t REACH = 1;  // a window goes from 2 i - 1 to 2 i + 1

static inline void ask_for(const float* at) {
    if (AHEAD > 0) __builtin_prefetch(at + AHEAD);
}

#ifdef __AVX512F__
constexpr int64_t LANES = 16;

// The lanes of a vector that lie in a row of which `left` elements are left.
static inline __mmask16 lanes_of(int64_t left) {
    return left >= LANES ? 0xffff : left <= 0 ? 0 : static_cast<__mmask16>((1u << left) - 1);
}

static void pool_plane(const float* in, float* out, int64_t height, int64_t width, int64_t out_height,
                       int64_t out_width) {
    const __m512 outside = _mm512_set1_ps(-INFINITY);
    const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odds = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    for (int64_t i = 0; i < out_height; ++i) {
        const int64_t first = std::max<int64_t>(STRIDE * i - REACH, 0);
        const int64_t last = std::min(STRIDE * i + REACH, height - 1);
        const float* top = in + first * width;
        const float* middle = in + STRIDE * i * width;
        const float* bottom = in + last * width;
        float* to = out + i * out_width;
        __m512 odd_before = outside;
        for (int64_t j = 0; j < out_width; j += LANES) {
            const int64_t column = STRIDE * j;
            ask_for(middle + column);
            ask_for(middle + column + LANES);
            ask_for(bottom + column);
            ask_for(bottom + column + LANES);
            const __mmask16 low = lanes_of(width - column), high = lanes_of(width - column - LANES);
            __m512 a = _mm512_mask_loadu_ps(outside, low, middle + column);
            __m512 b = _mm512_mask_loadu_ps(outside, high, middle + column + LANES);
            a = _mm512_mask_max_ps(a, low, a, _mm512_maskz_loadu_ps(low, top + column));
            b = _mm512_mask_max_ps(b, high, b, _mm512_maskz_loadu_ps(high, top + column + LANES));
            a = _mm512_mask_max_ps(a, low, a, _mm512_maskz_loadu_ps(low, bottom + column));
            b = _mm512_mask_max_ps(b, high, b, _mm512_maskz_loadu_ps(high, bottom + column + LANES));
            const __m512 even = _mm512_permutex2var_ps(a, evens, b);
            const __m512 odd = _mm512_permutex2var_ps(a, odds, b);
            const __m512 before = _mm512_castsi512_ps(
                _mm512_alignr_epi32(_mm512_castps_si512(odd), _mm512_castps_si512(odd_before), LANES - 1));
            odd_before = odd;
            _mm512_mask_storeu_ps(to + j, lanes_of(out_width - j),
                                  _mm512_max_ps(_mm512_max_ps(even, odd), before));
        }
    }
}
#else
static void pool_plane(const float* in, float* out, int64_t height, int64_t width, int64_t out_height,
                       int64_t out_width) {
    for (int64_t i = 0; i < out_height; ++i)
        for (int64_t j = 0; j < out_width; ++j) {
            float largest = -INFINITY;
            for (int64_t r = std::max<int64_t>(STRIDE * i - REACH, 0); r <= std::min(STRIDE * i + REACH, height - 1); ++r)
                for (int64_t c = std::max<int64_t>(STRIDE * j - REACH, 0); c <= std::min(STRIDE * j + REACH, width - 1); ++c)
                    largest = std::max(largest, in[r * width + c]);
            out[i * out_width + j] = largest;
        }
}
#endif

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

extern "C" void kernel(const float* x, float* out, int64_t batch, int64_t channels, int64_t height,
                       int64_t width, int64_t n0, int64_t n1) {
#pragma omp parallel for num_threads(workers()) schedule(dynamic, PLANES)
    for (int64_t plane = 0; plane < batch * channels; ++plane)
        pool_plane(x + plane * height * width, out + plane * n0 * n1, height, width, n0, n1);
}
