// 32 positions of eight output channels wait in sixteen registers while they take in every channel and tap:
// a vector of the input is loaded once for eight weights, which were brought side by side before. Padding is a
// masked lane. Bias and GELU go on at the end, where the results are in the nearest cache.
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

constexpr int64_t TAPS = 5;
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

// Count output channels, from their first weight, of the 32 positions from j.
template <int64_t Count>
static void convolve(const float* in, const float* weight, const float* bias, float* out, int64_t channels,
                     int64_t length, int64_t j) {
    __m512 low[Count], high[Count];
    for (int64_t o = 0; o < Count; ++o) low[o] = high[o] = _mm512_set1_ps(bias[o]);
    __mmask16 low_lanes[TAPS], high_lanes[TAPS];
    for (int64_t t = 0; t < TAPS; ++t) {
        low_lanes[t] = lanes_in(j + t - REACH, length);
        high_lanes[t] = lanes_in(j + LANES + t - REACH, length);
    }
    for (int64_t c = 0; c < channels; ++c) {
        const float* from = in + c * length + j - REACH;
        const float* taps = weight + c * TAPS * Count;
#pragma GCC unroll 5
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
    for (int64_t o = 0; o < Count; ++o) {
        _mm512_mask_storeu_ps(out + o * length + j, lanes_of(length - j), low[o]);
        _mm512_mask_storeu_ps(out + o * length + j + LANES, lanes_of(length - j - LANES), high[o]);
    }
}
#else
constexpr int64_t LANES = 16;

template <int64_t Count>
static void convolve(const float* in, const float* weight, const float* bias, float* out, int64_t channels,
                     int64_t length, int64_t j) {
    for (int64_t o = 0; o < Count; ++o)
        for (int64_t k = j; k < std::min(j + 2 * LANES, length); ++k) {
            float sum = bias[o];
            for (int64_t c = 0; c < channels; ++c)
                for (int64_t t = std::max<int64_t>(REACH - k, 0); t < std::min(TAPS, length + REACH - k); ++t)
                    sum += in[c * length + k + t - REACH] * weight[(c * TAPS + t) * Count + o];
            out[o * length + k] = sum;
        }
}
#endif

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

extern "C" void kernel(const float* x, const float* conv_weight, const float* conv_bias, float* out,
                       int64_t batch, int64_t in_channels, int64_t length, int64_t out_channels) {
    constexpr float ROOT_HALF = 0.70710678f;
    const int64_t filter = in_channels * TAPS;  // weights of an output channel
    const int64_t blocks = (out_channels + BLOCK - 1) / BLOCK;
#pragma omp parallel num_threads(workers())
    {
    std::vector<float> packed(filter * BLOCK);
#pragma omp for collapse(2) schedule(dynamic, 1)
    for (int64_t item = 0; item < batch; ++item)
        for (int64_t block = 0; block < blocks; ++block) {
            const float* in = x + item * in_channels * length;
            const int64_t first = block * BLOCK, count = std::min(BLOCK, out_channels - first);
            const float* weight = conv_weight + first * filter;
            if (count == BLOCK)
                for (int64_t w = 0; w < filter; ++w)
                    for (int64_t o = 0; o < BLOCK; ++o) packed[w * BLOCK + o] = weight[o * filter + w];
            float* to = out + (item * out_channels + first) * length;
            for (int64_t j = 0; j < length; j += 2 * LANES) {
                if (count == BLOCK) {
                    convolve<BLOCK>(in, packed.data(), conv_bias + first, to, in_channels, length, j);
                    continue;
                }
                for (int64_t o = 0; o < count; ++o)
                    convolve<1>(in, weight + o * filter, conv_bias + first + o, to + o * length,
                                in_channels, length, j);
            }
#pragma omp simd
            for (int64_t k = 0; k < count * length; ++k) to[k] = 0.5f * to[k] * (1.0f + erff(to[k] * ROOT_HALF));
        }
    }
}
