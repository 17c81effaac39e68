// A convolution of five along the length, with a bias, then GELU.
extern "C" void kernel(const float* x, const float* conv_weight, const float* conv_bias, float* out,
                       int64_t batch, int64_t in_channels, int64_t length, int64_t out_channels) {
    const int64_t size = 5;
    const int64_t border = 2;
    const double half_root = 0.70710678118654752;
    #pragma omp parallel for collapse(2)
    for (int64_t image = 0; image < batch; image++) {
        for (int64_t filter = 0; filter < out_channels; filter++) {
            for (int64_t i = 0; i < length; i++) {
                double sum = 0.0;
                for (int64_t channel = 0; channel < in_channels; channel++) {
                    for (int64_t tap = 0; tap < size; tap++) {
                        const int64_t at = i + tap - border;
                        if (at >= 0 && at < length) {
                            const double value = x[(image * in_channels + channel) * length + at];
                            const int64_t taps = (filter * in_channels + channel) * size;
                            sum += value * conv_weight[taps + tap];
                        }
                    }
                }
                const double value = sum + conv_bias[filter];
                const double result = 0.5 * value * std::erfc(-value * half_root);
                out[(image * out_channels + filter) * length + i] = result;
            }
        }
    }
}
