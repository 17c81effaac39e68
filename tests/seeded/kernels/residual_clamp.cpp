// A scaled residual, clamped from both sides, in tiles.
extern "C" void kernel(const float* x, const float* residual, float* out, int64_t rows,
                       int64_t dim) {
    const int64_t tile = 256;
    const float scale = 0.5f;
    const float limit = 1.25f;
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t first = 0; first < dim; first += tile) {
            const int64_t last = std::min(first + tile, dim);
            for (int64_t i = first; i < last; i++) {
                const float value = x[row * dim + i] * scale + residual[row * dim + i];
                out[row * dim + i] = std::min(std::max(value, -limit), limit);
            }
        }
    }
}
