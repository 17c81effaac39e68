// A convolution of three by three with a border of zeros, a bias and a ReLU.
extern "C" void kernel(const float* x, const float* conv_weight, const float* conv_bias, float* out,
                       int64_t batch, int64_t in_channels, int64_t height, int64_t width,
                       int64_t out_channels) {
    const int64_t size = 3;
    const int64_t border = 1;
    #pragma omp parallel for collapse(2)
    for (int64_t image = 0; image < batch; image++) {
        for (int64_t filter = 0; filter < out_channels; filter++) {
            std::vector<float> plane(height * width, 0.0f);
            for (int64_t channel = 0; channel < in_channels; channel++) {
                const int64_t source = (image * in_channels + channel) * height * width;
                const int64_t taps = (filter * in_channels + channel) * size * size;
                for (int64_t i = 0; i < height; i++) {
                    for (int64_t j = 0; j < width; j++) {
                        float sum = 0.0f;
                        for (int64_t down = 0; down < size; down++) {
                            for (int64_t across = 0; across < size; across++) {
                                const int64_t y = i + down - border;
                                const int64_t z = j + across - border;
                                if (y >= 0 && y < height && z >= 0 && z < width) {
                                    const float value = x[source + y * width + z];
                                    sum += value * conv_weight[taps + down * size + across];
                                }
                            }
                        }
                        plane[i * width + j] += sum;
                    }
                }
            }
            const int64_t target = (image * out_channels + filter) * height * width;
            for (int64_t at = 0; at < height * width; at++) {
                out[target + at] = std::max(plane[at] + conv_bias[filter], 0.0f);
            }
        }
    }
}
