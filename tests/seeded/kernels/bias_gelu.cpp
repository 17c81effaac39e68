// A bias and an exact GELU, in tiles of columns.
extern "C" void kernel(const float* x, const float* bias, float* out, int64_t rows, int64_t dim) {
    const int64_t tile = 64;
    const float half_root = 0.70710678118654752f;
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t first = 0; first < dim; first += tile) {
            const int64_t last = std::min(first + tile, dim);
            for (int64_t i = first; i < last; i++) {
                const float value = x[row * dim + i] + bias[i];
                // The complement keeps its digits where GELU is close to zero.
                out[row * dim + i] = 0.5f * value * std::erfc(-value * half_root);
            }
        }
    }
}
