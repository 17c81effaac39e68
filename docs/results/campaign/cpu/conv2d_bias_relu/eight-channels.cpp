// A row of 32 columns of eight output channels waits in sixteen registers while it takes in every channel
// and tap: a vector of the input is loaded once for eight weights, which were brought side by side before.
// Padding is a masked lane, or a row that is left out. Bias and ReLU go on at the end.
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

constexpr int64_t TAPS = 3;
constexpr int64_t REACH = TAPS / 2;
constexpr int64_t BLOCK = 8;  // output channels of a task

#ifdef __AVX512F__
constexpr int64_t LANES = 16;

// The lanes of a vector of which the first `left` are inside.
static inline __mmask16 lanes_of(int64_t left) {
    return left >= LANES ? 0xffff : left <= 0 ? 0 : static_cast<__mmask16>((1u << left) - 1);
}

// The lanes that lie in a row of `size` elements, of a vector that begins at `at`, which may be before it.
static inline __mmask16 lanes_in(int64_t at, int64_t size) {
    return lanes_of(size - at) & static_cast<__mmask16>(at < 0 ? 0xffff << -at : 0xffff);
}

// Count output channels, from their first weight, of row i and the 32 columns from j.
template <int64_t Count>
static void convolve(const float* in, const float* weight, const float* bias, float* out, int64_t channels,
                     int64_t height, int64_t width, int64_t i, int64_t j) {
    __m512 low[Count], high[Count];
    for (int64_t o = 0; o < Count; ++o) low[o] = high[o] = _mm512_set1_ps(bias[o]);
    __mmask16 low_lanes[TAPS], high_lanes[TAPS];
    for (int64_t t = 0; t < TAPS; ++t) {
        low_lanes[t] = lanes_in(j + t - REACH, width);
        high_lanes[t] = lanes_in(j + LANES + t - REACH, width);
    }
    const int64_t begin = std::max<int64_t>(REACH - i, 0), end = std::min(TAPS, height + REACH - i);
    // Channels are the inner loop: it is long, so that the sums stay in registers.
    for (int64_t r = begin; r < end; ++r)
        for (int64_t c = 0; c < channels; ++c) {
            const float* from = in + (c * height + i + r - REACH) * width + j - REACH;
            const float* taps = weight + (c * TAPS + r) * TAPS * Count;
#pragma GCC unroll 3
            for (int64_t t = 0; t < TAPS; ++t) {
                const __m512 a = _mm512_maskz_loadu_ps(low_lanes[t], from + t);
                const __m512 b = _mm512_maskz_loadu_ps(high_lanes[t], from + t + LANES);
#pragma GCC unroll 8
                for (int64_t o = 0; o < Count; ++o) {
                    const __m512 factor = _mm512_set1_ps(taps[t * Count + o]);
                    low[o] = _mm512_fmadd_ps(a, factor, low[o]);
                    high[o] = _mm512_fmadd_ps(b, factor, high[o]);
                }
            }
        }
    const __m512 zero = _mm512_setzero_ps();
    for (int64_t o = 0; o < Count; ++o) {
        float* to = out + (o * height + i) * width + j;
        _mm512_mask_storeu_ps(to, lanes_of(width - j), _mm512_max_ps(low[o], zero));
        _mm512_mask_storeu_ps(to + LANES, lanes_of(width - j - LANES), _mm512_max_ps(high[o], zero));
    }
}
#else
constexpr int64_t LANES = 16;

template <int64_t Count>
static void convolve(const float* in, const float* weight, const float* bias, float* out, int64_t channels,
                     int64_t height, int64_t width, int64_t i, int64_t j) {
    for (int64_t o = 0; o < Count; ++o)
        for (int64_t k = j; k < std::min(j + 2 * LANES, width); ++k) {
            float sum = bias[o];
            for (int64_t c = 0; c < channels; ++c)
                for (int64_t r = std::max<int64_t>(REACH - i, 0); r < std::min(TAPS, height + REACH - i); ++r)
                    for (int64_t t = std::max<int64_t>(REACH - k, 0); t < std::min(TAPS, width + REACH - k); ++t)
                        sum += in[(c * height + i + r - REACH) * width + k + t - REACH] *
                               weight[((c * TAPS + r) * TAPS + t) * Count + o];
            out[(o * height + i) * width + k] = std::max(sum, 0.0f);
        }
}
#endif

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

extern "C" void kernel(const float* x, const float* conv_weight, const float* conv_bias, float* out,
                       int64_t batch, int64_t in_channels, int64_t height, int64_t width, int64_t out_channels) {
    const int64_t filter = in_channels * TAPS * TAPS;  // weights of an output channel
    const int64_t blocks = (out_channels + BLOCK - 1) / BLOCK;
#pragma omp parallel num_threads(workers())
    {
    std::vector<float> packed(filter * BLOCK);
#pragma omp for collapse(2) schedule(dynamic, 1)
    for (int64_t image = 0; image < batch; ++image)
        for (int64_t block = 0; block < blocks; ++block) {
            const float* in = x + image * in_channels * height * width;
            const int64_t first = block * BLOCK, count = std::min(BLOCK, out_channels - first);
            const float* weight = conv_weight + first * filter;
            if (count == BLOCK)
                for (int64_t w = 0; w < filter; ++w)
                    for (int64_t o = 0; o < BLOCK; ++o) packed[w * BLOCK + o] = weight[o * filter + w];
            float* to = out + (image * out_channels + first) * height * width;
            for (int64_t i = 0; i < height; ++i)
                for (int64_t j = 0; j < width; j += 2 * LANES) {
                    if (count == BLOCK) {
                        convolve<BLOCK>(in, packed.data(), conv_bias + first, to, in_channels, height, width, i, j);
                        continue;
                    }
                    for (int64_t o = 0; o < count; ++o)
                        convolve<1>(in, weight + o * filter, conv_bias + first + o,
                                    to + o * height * width, in_channels, height, width, i, j);
                }
        }
    }
}
