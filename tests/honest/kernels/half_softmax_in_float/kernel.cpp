extern "C" void kernel(const float16* x, float16* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        float top = -INFINITY, sum = 0.0f;
        for (int64_t c = 0; c < dim; ++c) top = std::max(top, static_cast<float>(x[r * dim + c]));
        for (int64_t c = 0; c < dim; ++c) sum += std::exp(static_cast<float>(x[r * dim + c]) - top);
        for (int64_t c = 0; c < dim; ++c)
            out[r * dim + c] = static_cast<float16>(std::exp(static_cast<float>(x[r * dim + c]) - top) / sum);
    }
}
