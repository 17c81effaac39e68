extern "C" void kernel(const float* x, const float* w, const float* b, float* out, int64_t batch,
                       int64_t channels, int64_t height, int64_t width) {
    #pragma omp parallel for
    for (int64_t p = 0; p < batch * channels; ++p) {
        const float* in = x + p * height * width;
        float* to = out + p * height * width;
        std::fill(to, to + height * width, b[p % channels]);
        for (int64_t dy = -1; dy <= 1; ++dy) {
            for (int64_t dx = -1; dx <= 1; ++dx) {
                const float tap = w[p % channels * 9 + (dy + 1) * 3 + dx + 1];
                for (int64_t y = std::max<int64_t>(0, -dy); y < std::min(height, height - dy); ++y)
                    for (int64_t c = std::max<int64_t>(0, -dx); c < std::min(width, width - dx); ++c)
                        to[y * width + c] += tap * in[(y + dy) * width + c + dx];
            }
        }
    }
}
