extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        const int64_t at = std::max_element(in, in + dim) - in;
        const float top = in[at];
        float before = 0.0f, after = 0.0f;
        for (int64_t c = 0; c < at; ++c) before += std::exp(in[c] - top);
        for (int64_t c = at + 1; c < dim; ++c) after += std::exp(in[c] - top);
        out[r] = top + std::log1p(before + after);
    }
}
