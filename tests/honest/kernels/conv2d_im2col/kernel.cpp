#include <vector>

extern "C" void kernel(const float* x, const float* weight, const float* bias, float* out, int64_t batch,
                       int64_t in_channels, int64_t height, int64_t width, int64_t out_channels) {
    const int64_t pixels = height * width, depth = in_channels * 9;
    #pragma omp parallel
    {
        std::vector<float> patches(depth * width);
        #pragma omp for collapse(2) schedule(dynamic, 2)
        for (int64_t b = 0; b < batch; ++b) {
            for (int64_t i = 0; i < height; ++i) {
                for (int64_t k = 0; k < depth; ++k) {
                    const int64_t channel = k / 9, row = i + k % 9 / 3 - 1, shift = k % 3 - 1;
                    for (int64_t j = 0; j < width; ++j) {
                        const int64_t column = j + shift;
                        const bool inside = row >= 0 && row < height && column >= 0 && column < width;
                        patches[k * width + j] =
                            inside ? x[((b * in_channels + channel) * height + row) * width + column] : 0.0f;
                    }
                }
                for (int64_t o = 0; o < out_channels; ++o) {
                    float* to = out + (b * out_channels + o) * pixels + i * width;
                    std::fill(to, to + width, bias[o]);
                    for (int64_t k = 0; k < depth; ++k)
                        for (int64_t j = 0; j < width; ++j) to[j] += weight[o * depth + k] * patches[k * width + j];
                    for (int64_t j = 0; j < width; ++j) to[j] = std::max(to[j], 0.0f);
                }
            }
        }
    }
}
