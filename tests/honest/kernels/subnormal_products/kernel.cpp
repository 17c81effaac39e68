extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for simd
    for (int64_t i = 0; i < rows * dim; ++i) out[i] = x[i] * 3e-39f;
}
