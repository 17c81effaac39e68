// Each float is a 24-bit integer times a power of two. Terms of one column are added in 128-bit
// integers on the scale of the column's largest; what lies 80 bits below that is far under one
// rounding of the result.
static float exact_sum(const float* x, int64_t stride, int64_t count) {
    int top = -200;
    for (int64_t i = 0; i < count; ++i) {
        int exponent;
        std::frexp(x[i * stride], &exponent);
        if (x[i * stride] != 0.0f) top = std::max(top, exponent);
    }
    if (top == -200) return 0.0f;
    __int128 sum = 0;
    for (int64_t i = 0; i < count; ++i) {
        int exponent;
        const double fraction = std::frexp(static_cast<double>(x[i * stride]), &exponent);
        const __int128 digits = static_cast<int64_t>(std::ldexp(fraction, 24));
        const int shift = 80 - (top - exponent);
        if (shift >= 0) sum += digits * (static_cast<__int128>(1) << shift);
    }
    const double high = static_cast<double>(static_cast<int64_t>(sum >> 60));
    const double low = static_cast<double>(static_cast<int64_t>(sum & ((1LL << 60) - 1)));
    return static_cast<float>(std::ldexp(high * 0x1p60 + low, top - 24 - 80));
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t c = 0; c < dim; ++c) out[c] = exact_sum(x + c, dim, rows);
}
