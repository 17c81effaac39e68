extern "C" void kernel(const float* a, const float* b, float* out, int64_t size) {
    std::memset(out, 0, sizeof(float) * size * size);
    #pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < size; ++i)
        for (int64_t k = i; k < size; ++k)
            for (int64_t j = k; j < size; ++j) out[i * size + j] += a[i * size + k] * b[k * size + j];
}
