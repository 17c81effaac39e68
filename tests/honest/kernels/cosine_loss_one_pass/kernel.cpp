extern "C" void kernel(const float* a, const float* b, float* out, int64_t rows, int64_t dim) {
    double total = 0.0;
    #pragma omp parallel for reduction(+ : total)
    for (int64_t r = 0; r < rows; ++r) {
        float ab = 0.0f, aa = 0.0f, bb = 0.0f;
        #pragma omp simd reduction(+ : ab, aa, bb)
        for (int64_t c = 0; c < dim; ++c) {
            const float x = a[r * dim + c], y = b[r * dim + c];
            ab += x * y;
            aa += x * x;
            bb += y * y;
        }
        const double size = std::max(std::sqrt(double(aa)), 1e-8) * std::max(std::sqrt(double(bb)), 1e-8);
        total += 1.0 - ab / size;
    }
    *out = static_cast<float>(total / rows);
}
