extern "C" void kernel(const float* x, const float* w, const float* grad_out, float* grad_x, float* grad_w,
                       int64_t rows, int64_t dim) {
    std::memset(grad_w, 0, sizeof(float) * dim);
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        const float* g = grad_out + r * dim;
        float square = 0.0f, dot = 0.0f;
        #pragma omp simd reduction(+ : square, dot)
        for (int64_t c = 0; c < dim; ++c) {
            square += in[c] * in[c];
            dot += in[c] * w[c] * g[c];
        }
        const float scale = 1.0f / std::sqrt(square / dim + 1e-6f);
        const float pull = dot * scale * scale * scale / dim;
        for (int64_t c = 0; c < dim; ++c) {
            grad_x[r * dim + c] = g[c] * w[c] * scale - in[c] * pull;
            const float term = g[c] * in[c] * scale;
            #pragma omp atomic
            grad_w[c] += term;
        }
    }
}
