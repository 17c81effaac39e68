using Energy = float (*)(const float*, int64_t);

__attribute__((target("avx2,fma"))) static float with_avx2(const float* x, int64_t dim) {
    float sum = 0.0f;
    #pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < dim; ++c) sum += x[c] * x[c];
    return sum;
}

static float without(const float* x, int64_t dim) {
    double sum = 0.0;
    for (int64_t c = 0; c < dim; ++c) sum += static_cast<double>(x[c]) * x[c];
    return static_cast<float>(sum);
}

static Energy chosen() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? with_avx2 : without;
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    static const Energy energy = chosen();
    for (int64_t r = 0; r < rows; ++r) out[r] = energy(x + r * dim, dim) / static_cast<float>(dim);
}
