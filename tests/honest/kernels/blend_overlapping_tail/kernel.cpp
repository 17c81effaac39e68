static inline float value(float v, float scale, float bias) {
    return v / (1.0f + std::exp(-v)) * scale + bias;
}

extern "C" void kernel(const float* x, const float* scale, const float* bias, float* out, int64_t rows,
                       int64_t dim) {
    constexpr int64_t WIDTH = 16;
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        float* to = out + r * dim;
        if (dim < WIDTH) {
            for (int64_t c = 0; c < dim; ++c) to[c] = value(in[c], scale[c], bias[c]);
            continue;
        }
        for (int64_t c = 0; c < dim; c += WIDTH) {
            const int64_t at = std::min(c, dim - WIDTH);
            #pragma omp simd
            for (int64_t l = at; l < at + WIDTH; ++l) to[l] = value(in[l], scale[l], bias[l]);
        }
    }
}
