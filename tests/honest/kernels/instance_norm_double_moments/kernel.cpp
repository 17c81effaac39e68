extern "C" void kernel(const float* x, float* out, int64_t batch, int64_t channels, int64_t height, int64_t width) {
    const int64_t plane = height * width;
    #pragma omp parallel for
    for (int64_t p = 0; p < batch * channels; ++p) {
        double sum = 0.0, square = 0.0;
        #pragma omp simd reduction(+ : sum, square)
        for (int64_t i = 0; i < plane; ++i) {
            const double v = x[p * plane + i];
            sum += v;
            square += v * v;
        }
        const double mean = sum / plane, var = std::max(0.0, square / plane - mean * mean);
        const float scale = static_cast<float>(1.0 / std::sqrt(var + 1e-5)), m = static_cast<float>(mean);
        for (int64_t i = 0; i < plane; ++i) out[p * plane + i] = (x[p * plane + i] - m) * scale;
    }
}
