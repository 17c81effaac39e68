extern "C" void kernel(const float* a, const float* b, float* out, int64_t rows, int64_t dim) {
    const int64_t count = rows * dim;
    double sum = 0.0;
    #pragma omp parallel for reduction(+ : sum)
    for (int64_t i = 0; i < count; ++i) {
        const float d = a[i] - b[i];
        sum += d * d;
    }
    *out = static_cast<float>(sum / static_cast<double>(count));
}
