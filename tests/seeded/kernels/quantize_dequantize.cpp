// Each row to eight-bit integers and back, with a scale per row that is a power of two.
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const float tiny = 1e-30f;
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        float largest = 0.0f;
        for (int64_t i = 0; i < dim; i++) {
            largest = std::max(largest, std::fabs(x[row * dim + i]));
        }
        int exponent = 0;
        const float bounded = std::max(largest, tiny);
        const float fraction = std::frexp(bounded, &exponent);
        const float scale = bounded / fraction / 128.0f;
        for (int64_t i = 0; i < dim; i++) {
            const float code = std::nearbyint(x[row * dim + i] / scale);
            out[row * dim + i] = std::min(std::max(code, -127.0f), 127.0f) * scale;
        }
    }
}
