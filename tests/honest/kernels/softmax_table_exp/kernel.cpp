// exp(x) = 2^(k/256) * exp(r) with |r| < ln 2 / 512: a table and a cubic, in double.
static double table[256];

static bool fill() {
    for (int i = 0; i < 256; ++i) table[i] = std::exp2(i / 256.0);
    return true;
}

static inline double fast_exp(double x) {
    if (x < -700.0) return 0.0;
    const double scaled = x * (256.0 * 1.4426950408889634);
    const int64_t k = static_cast<int64_t>(std::floor(scaled + 0.5));
    const double r = x - static_cast<double>(k) * (0.6931471805599453 / 256.0);
    const double p = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0)));
    return std::ldexp(table[k & 255] * p, static_cast<int>(k >> 8));
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    static const bool filled = fill();
    (void)filled;
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        const float top = *std::max_element(in, in + dim);
        double sum = 0.0;
        for (int64_t c = 0; c < dim; ++c) sum += fast_exp(static_cast<double>(in[c]) - top);
        for (int64_t c = 0; c < dim; ++c)
            out[r * dim + c] = static_cast<float>(fast_exp(static_cast<double>(in[c]) - top) / sum);
    }
}
