extern "C" void kernel(const float* x, const float* w, const float* b, float* out, int64_t batch,
                       int64_t channels, int64_t height, int64_t width) {
    const int64_t groups = 8, size = channels / groups, plane = height * width;
    #pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < batch; ++n) {
        for (int64_t g = 0; g < groups; ++g) {
            const float* in = x + (n * channels + g * size) * plane;
            const int64_t count = size * plane;
            float sum = 0.0f;
            #pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < count; ++i) sum += in[i];
            const float mean = sum / count;
            float square = 0.0f;
            #pragma omp simd reduction(+ : square)
            for (int64_t i = 0; i < count; ++i) square += (in[i] - mean) * (in[i] - mean);
            const float scale = 1.0f / std::sqrt(square / count + 1e-5f);
            for (int64_t c = 0; c < size; ++c) {
                const float a = w[g * size + c] * scale, shift = b[g * size + c] - mean * a;
                for (int64_t i = 0; i < plane; ++i)
                    out[(n * channels + g * size + c) * plane + i] = std::fma(in[c * plane + i], a, shift);
            }
        }
    }
}
