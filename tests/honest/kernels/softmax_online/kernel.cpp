extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        float top = -INFINITY, sum = 0.0f;
        for (int64_t c = 0; c < dim; ++c) {
            if (in[c] > top) {
                sum = sum * std::exp(top - in[c]) + 1.0f;
                top = in[c];
            } else {
                sum += std::exp(in[c] - top);
            }
        }
        const float scale = 1.0f / sum;
        #pragma omp simd
        for (int64_t c = 0; c < dim; ++c) out[r * dim + c] = expf(in[c] - top) * scale;
    }
}
