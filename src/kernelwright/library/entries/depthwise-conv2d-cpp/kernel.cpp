// A 3 by 3 filter for each channel. A strip of 16 columns is walked down once: each row of the input is
// loaded as three vectors (from one column to the left, as it is, one to the right) and goes into the
// three rows of the output that it reaches, which wait in registers. Padding is a masked lane.
// While the first strip of a plane is walked, the plane after it is asked for.
// tunable: PLANES = 16 in {1, 4, 8, 16}
// With SPARE = 1 there is a thread more than processors. libgomp then lets who waits sleep instead of
// spin, so that threads that woke on one processor do not keep each other from running.
// tunable: SPARE = 1 in {0, 1}

constexpr int64_t TAPS = 3;

#ifdef __AVX512F__
constexpr int64_t LANES = 16;

// The lanes of a vector of which the first `left` are inside.
static inline __mmask16 lanes_of(int64_t left) {
    return left >= LANES ? 0xffff : left <= 0 ? 0 : static_cast<__mmask16>((1u << left) - 1);
}

// A row's part of three columns of taps: what it adds to a row of the output.
static inline __m512 with_row(__m512 sum, const __m512 (&in)[TAPS], const __m512* taps) {
    for (int64_t t = 0; t < TAPS; ++t) sum = _mm512_fmadd_ps(in[t], taps[t], sum);
    return sum;
}

static void convolve_plane(const float* in, const float* weight, float bias, float* out, int64_t height,
                           int64_t width) {
    __m512 taps[TAPS * TAPS];
    for (int64_t t = 0; t < TAPS * TAPS; ++t) taps[t] = _mm512_set1_ps(weight[t]);
    const __m512 start = _mm512_set1_ps(bias);
    for (int64_t j = 0; j < width; j += LANES) {
        const __mmask16 centre = lanes_of(width - j), right = lanes_of(width - j - 1);
        const __mmask16 left = lanes_of(width - j + 1) & (j == 0 ? 0xfffe : 0xffff);
        __m512 above = start, here = start;  // the outputs of the row before this one, and of this one
        for (int64_t i = 0; i < height; ++i) {
            const float* from = in + i * width + j;
            if (j == 0)
                for (int64_t c = 0; c < width; c += LANES) __builtin_prefetch(from + (height * width + c));
            const __m512 row[TAPS] = {_mm512_maskz_loadu_ps(left, from - 1), _mm512_maskz_loadu_ps(centre, from),
                                      _mm512_maskz_loadu_ps(right, from + 1)};
            above = with_row(above, row, taps + 2 * TAPS);
            if (i > 0) _mm512_mask_storeu_ps(out + (i - 1) * width + j, centre, above);
            above = with_row(here, row, taps + TAPS);
            here = with_row(start, row, taps);
        }
        if (height > 0) _mm512_mask_storeu_ps(out + (height - 1) * width + j, centre, above);
    }
}
#else
static void convolve_plane(const float* in, const float* weight, float bias, float* out, int64_t height,
                           int64_t width) {
    for (int64_t i = 0; i < height; ++i)
        for (int64_t j = 0; j < width; ++j) {
            float sum = bias;
            for (int64_t r = std::max<int64_t>(i - 1, 0); r <= std::min(i + 1, height - 1); ++r)
                for (int64_t c = std::max<int64_t>(j - 1, 0); c <= std::min(j + 1, width - 1); ++c)
                    sum += in[r * width + c] * weight[(r - i + 1) * TAPS + c - j + 1];
            out[i * width + j] = sum;
        }
}
#endif

static inline int workers() {
    const int threads = omp_get_max_threads();
    return threads > 1 ? threads + SPARE : threads;
}

extern "C" void kernel(const float* x, const float* conv_weight, const float* conv_bias, float* out,
                       int64_t batch, int64_t channels, int64_t height, int64_t width) {
#pragma omp parallel for num_threads(workers()) schedule(dynamic, PLANES)
    for (int64_t plane = 0; plane < batch * channels; ++plane) {
        const int64_t channel = plane % channels;
        convolve_plane(x + plane * height * width, conv_weight + channel * TAPS * TAPS, conv_bias[channel],
                       out + plane * height * width, height, width);
    }
}
