extern "C" void kernel(const float* x, const float* w, float* out, int64_t rows, int64_t inner, int64_t dim) {
    #pragma omp parallel for
    for (int64_t o = 0; o < dim; ++o) {
        for (int64_t r = 0; r < rows; ++r) {
            float sum = 0.0f;
            for (int64_t i = 0; i < inner; ++i) sum += x[r * inner + i] * w[o * inner + i];
            out[r * dim + o] = sum;
        }
    }
}
