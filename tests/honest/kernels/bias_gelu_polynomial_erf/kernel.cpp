static inline double series(double x) {  // |x| < 2.2
    double term = x, sum = x;
    const double square = x * x;
    for (int n = 1; n < 40; ++n) {
        term *= -square / n;
        sum += term / (2 * n + 1);
    }
    return sum * 1.1283791670955126;
}

static inline double complement(double x) {  // x >= 2.2: erfc by its continued fraction
    double fraction = x;
    for (int n = 60; n >= 1; --n) fraction = x + 0.5 * n / fraction;
    return std::exp(-x * x) / (fraction * 1.7724538509055160);
}

static inline double erf_of(double x) {
    const double size = std::fabs(x);
    const double value = size < 2.2 ? series(size) : 1.0 - complement(size);
    return x < 0 ? -value : value;
}

extern "C" void kernel(const float* x, const float* bias, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < dim; ++c) {
            const double v = static_cast<double>(x[r * dim + c] + bias[c]);
            out[r * dim + c] = static_cast<float>(v * 0.5 * (1.0 + erf_of(v * 0.70710678118654752)));
        }
    }
}
