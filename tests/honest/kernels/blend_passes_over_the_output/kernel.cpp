extern "C" void kernel(const float* x, const float* scale, const float* bias, float* out, int64_t rows,
                       int64_t dim) {
    const int64_t count = rows * dim;
    for (int64_t i = 0; i < count; ++i) out[i] = std::exp(-x[i]);
    for (int64_t i = 0; i < count; ++i) out[i] = x[i] / (1.0f + out[i]);
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < dim; ++c) out[r * dim + c] *= scale[c];
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < dim; ++c) out[r * dim + c] += bias[c];
}
