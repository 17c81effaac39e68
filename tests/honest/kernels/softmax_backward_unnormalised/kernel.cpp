extern "C" void kernel(const float* x, const float* grad_out, float* grad_x, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        const float* g = grad_out + r * dim;
        float* to = grad_x + r * dim;
        float top = -INFINITY, sum = 0.0f, dot = 0.0f;
        #pragma omp simd reduction(max : top)
        for (int64_t c = 0; c < dim; ++c) top = std::max(top, in[c]);
        #pragma omp simd reduction(+ : sum, dot)
        for (int64_t c = 0; c < dim; ++c) {
            const float e = expf(in[c] - top);
            to[c] = e;
            sum += e;
            dot += e * g[c];
        }
        const float share = 1.0f / sum, mean = dot * share;
        #pragma omp simd
        for (int64_t c = 0; c < dim; ++c) to[c] = to[c] * share * (g[c] - mean);
    }
}
