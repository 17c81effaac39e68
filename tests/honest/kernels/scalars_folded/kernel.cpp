extern "C" void kernel(const float* x, double gain, int64_t shift, bool mirrored, float* out, int64_t rows,
                       int64_t dim) {
    const float sign = mirrored ? -1.0f : 1.0f;
    const float a = sign * static_cast<float>(gain), b = sign * static_cast<float>(shift);
    #pragma omp parallel for simd
    for (int64_t i = 0; i < rows * dim; ++i) out[i] = std::fma(x[i], a, b);
}
