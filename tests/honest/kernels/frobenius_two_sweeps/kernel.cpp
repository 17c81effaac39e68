extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const int64_t count = rows * dim;
    float total = 0.0f;
    #pragma omp parallel
    {
        float own = 0.0f;
        #pragma omp for simd nowait
        for (int64_t i = 0; i < count; ++i) own += x[i] * x[i];
        #pragma omp atomic
        total += own;
        #pragma omp barrier
        const float scale = 1.0f / std::sqrt(total);
        #pragma omp for simd
        for (int64_t i = 0; i < count; ++i) out[i] = x[i] * scale;
    }
}
