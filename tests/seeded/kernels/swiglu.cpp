// SwiGLU: one half, through SiLU, gates the other.
extern "C" void kernel(const float* gate, const float* up, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < dim; i++) {
            const int64_t at = row * dim + i;
            const float value = gate[at];
            const float share = 1.0f / (1.0f + std::exp(-value));
            out[at] = value * share * up[at];
        }
    }
}
