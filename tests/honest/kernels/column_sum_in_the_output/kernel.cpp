extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    for (int64_t c = 0; c < dim; ++c) out[c] = 0.0f;
    for (int64_t r = 0; r < rows; ++r) {
        #pragma omp simd
        for (int64_t c = 0; c < dim; ++c) out[c] += x[r * dim + c];
    }
}
