// The mean of each 3 by 3 window, at a stride of 2, in registers alone. 32 columns of three rows become
// one by two additions; its even and odd columns are two vectors of 16, and a window is an even column,
// the odd one after it and the odd one before it, which is a lane of the vector before. What lies
// outside of the image is zero, through masked loads, and does not count.
// tunable: PLANES = 4 in {1, 4, 16}
// The memory AHEAD elements on is asked for early: a row ends a page, or soon will, and the processor
// does not look into the next by itself.
// tunable: AHEAD = 1024 in {0, 512, 1024, 2048}
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

constexpr int64_t STRIDE = 2;
constexpr int64_t REACH = 1;  // a window goes from 2 i - 1 to 2 i + 1

// How many of a window's three rows (or columns) lie among the `size` that there are.
static inline int64_t inside(int64_t i, int64_t size) {
    return std::min(STRIDE * i + REACH, size - 1) - std::max<int64_t>(STRIDE * i - REACH, 0) + 1;
}

static inline void ask_for(const float* at) {
    if (AHEAD > 0) __builtin_prefetch(at + AHEAD);
}

#ifdef __AVX512F__
constexpr int64_t LANES = 16;

// The lanes of a vector that lie in a row of which `left` elements are left.
static inline __mmask16 lanes_of(int64_t left) {
    return left >= LANES ? 0xffff : left <= 0 ? 0 : static_cast<__mmask16>((1u << left) - 1);
}

// `shares` has, for each column of the output, one over the columns that count in its windows.
static void pool_plane(const float* in, float* out, const float* shares, int64_t height, int64_t width,
                       int64_t out_height, int64_t out_width) {
    const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odds = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    for (int64_t i = 0; i < out_height; ++i) {
        const float* middle = in + STRIDE * i * width;
        // A row outside of the image is read from one inside, with no lane taken.
        const bool above = i > 0, below = STRIDE * i + REACH < height;
        const float* top = above ? middle - width : middle;
        const float* bottom = below ? middle + width : middle;
        const __m512 row_share = _mm512_set1_ps(1.0f / static_cast<float>(inside(i, height)));
        float* to = out + i * out_width;
        __m512 odd_before = _mm512_setzero_ps();
        for (int64_t j = 0; j < out_width; j += LANES) {
            const int64_t column = STRIDE * j;
            ask_for(middle + column);
            ask_for(middle + column + LANES);
            ask_for(bottom + column);
            ask_for(bottom + column + LANES);
            const __mmask16 low = lanes_of(width - column), high = lanes_of(width - column - LANES);
            const __mmask16 to_lanes = lanes_of(out_width - j);
            __m512 a = _mm512_maskz_loadu_ps(low, middle + column);
            __m512 b = _mm512_maskz_loadu_ps(high, middle + column + LANES);
            a = _mm512_add_ps(a, _mm512_maskz_loadu_ps(above ? low : 0, top + column));
            b = _mm512_add_ps(b, _mm512_maskz_loadu_ps(above ? high : 0, top + column + LANES));
            a = _mm512_add_ps(a, _mm512_maskz_loadu_ps(below ? low : 0, bottom + column));
            b = _mm512_add_ps(b, _mm512_maskz_loadu_ps(below ? high : 0, bottom + column + LANES));
            const __m512 even = _mm512_permutex2var_ps(a, evens, b);
            const __m512 odd = _mm512_permutex2var_ps(a, odds, b);
            const __m512 before = _mm512_castsi512_ps(
                _mm512_alignr_epi32(_mm512_castps_si512(odd), _mm512_castps_si512(odd_before), LANES - 1));
            odd_before = odd;
            const __m512 share = _mm512_mul_ps(row_share, _mm512_maskz_loadu_ps(to_lanes, shares + j));
            const __m512 sum = _mm512_add_ps(_mm512_add_ps(even, odd), before);
            _mm512_mask_storeu_ps(to + j, to_lanes, _mm512_mul_ps(sum, share));
        }
    }
}
#else
static void pool_plane(const float* in, float* out, const float* shares, int64_t height, int64_t width,
                       int64_t out_height, int64_t out_width) {
    for (int64_t i = 0; i < out_height; ++i)
        for (int64_t j = 0; j < out_width; ++j) {
            float sum = 0.0f;
            for (int64_t r = std::max<int64_t>(STRIDE * i - REACH, 0); r <= std::min(STRIDE * i + REACH, height - 1); ++r)
                for (int64_t c = std::max<int64_t>(STRIDE * j - REACH, 0); c <= std::min(STRIDE * j + REACH, width - 1); ++c)
                    sum += in[r * width + c];
            out[i * out_width + j] = sum * shares[j] / static_cast<float>(inside(i, height));
        }
}
#endif

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

extern "C" void kernel(const float* x, float* out, int64_t batch, int64_t channels, int64_t height,
                       int64_t width, int64_t n0, int64_t n1) {
    std::vector<float> shares(n1);
    for (int64_t j = 0; j < n1; ++j) shares[j] = 1.0f / static_cast<float>(inside(j, width));
#pragma omp parallel for num_threads(workers()) schedule(dynamic, PLANES)
    for (int64_t plane = 0; plane < batch * channels; ++plane)
        pool_plane(x + plane * height * width, out + plane * n0 * n1, shares.data(), height, width, n0, n1);
}
