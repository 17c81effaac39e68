extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    constexpr int64_t BLOCK = 16;
    #pragma omp parallel for schedule(dynamic, 8)
    for (int64_t c = 0; c < dim; ++c) {
        float total = 0.0f;
        for (int64_t first = 0; first < rows; first += BLOCK) {
            float part = 0.0f;
            for (int64_t r = first; r < std::min(first + BLOCK, rows); ++r) part += x[r * dim + c];
            total += part;
        }
        out[c] = total;
    }
}
