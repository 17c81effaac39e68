// The mean over windows of three by three, two apart; the border does not count.
extern "C" void kernel(const float* x, float* out, int64_t batch, int64_t channels, int64_t height,
                       int64_t width, int64_t n0, int64_t n1) {
    const int64_t size = 3;
    const int64_t stride = 2;
    const int64_t border = 1;
    #pragma omp parallel for
    for (int64_t plane = 0; plane < batch * channels; plane++) {
        for (int64_t i = 0; i < n0; i++) {
            for (int64_t j = 0; j < n1; j++) {
                float sum = 0.0f;
                float count = 0.0f;
                for (int64_t down = 0; down < size; down++) {
                    for (int64_t across = 0; across < size; across++) {
                        const int64_t y = i * stride + down - border;
                        const int64_t z = j * stride + across - border;
                        if (y >= 0 && y < height && z >= 0 && z < width) {
                            sum += x[(plane * height + y) * width + z];
                            count += 1.0f;
                        }
                    }
                }
                out[(plane * n0 + i) * n1 + j] = sum / count;
            }
        }
    }
}
