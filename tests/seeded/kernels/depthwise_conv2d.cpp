// A convolution of each channel with a filter of its own, and a bias.
extern "C" void kernel(const float* x, const float* conv_weight, const float* conv_bias, float* out,
                       int64_t batch, int64_t channels, int64_t height, int64_t width) {
    const int64_t size = 3;
    const int64_t border = 1;
    #pragma omp parallel for collapse(2)
    for (int64_t image = 0; image < batch; image++) {
        for (int64_t channel = 0; channel < channels; channel++) {
            const int64_t plane = (image * channels + channel) * height * width;
            for (int64_t i = 0; i < height; i++) {
                for (int64_t j = 0; j < width; j++) {
                    float sum = conv_bias[channel];
                    for (int64_t down = 0; down < size; down++) {
                        for (int64_t across = 0; across < size; across++) {
                            const int64_t y = i + down - border;
                            const int64_t z = j + across - border;
                            if (y >= 0 && y < height && z >= 0 && z < width) {
                                const float value = x[plane + y * width + z];
                                sum += value * conv_weight[(channel * size + down) * size + across];
                            }
                        }
                    }
                    out[plane + i * width + j] = sum;
                }
            }
        }
    }
}
