static double rsqrt(double value) {
    int64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits = 0x5FE6EB50C7B537A9 - (bits >> 1);
    double y;
    std::memcpy(&y, &bits, sizeof y);
    for (int step = 0; step < 4; ++step) y *= 1.5 - 0.5 * value * y * y;
    return y;
}

extern "C" void kernel(const float* x, const float* weight, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        double squares = 0.0;
        for (int64_t c = 0; c < dim; ++c) squares += static_cast<double>(x[r * dim + c]) * x[r * dim + c];
        const double scale = rsqrt(squares / static_cast<double>(dim) + 1e-6);
        for (int64_t c = 0; c < dim; ++c)
            out[r * dim + c] = static_cast<float>(x[r * dim + c] * scale * weight[c]);
    }
}
