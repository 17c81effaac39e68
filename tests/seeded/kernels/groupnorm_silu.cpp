// Group normalisation of images in eight groups, with scale and bias per channel, then SiLU.
extern "C" void kernel(const float* x, const float* norm_weight, const float* norm_bias, float* out,
                       int64_t batch, int64_t channels, int64_t height, int64_t width) {
    const int64_t groups = 8;
    const double eps = 1e-5;
    const int64_t members = channels / groups;
    const int64_t area = height * width;
    const int64_t count = members * area;
    std::vector<double> sums(batch * groups, 0.0);
    std::vector<double> squares(batch * groups, 0.0);
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t channel = 0; channel < channels; channel++) {
            for (int64_t image = 0; image < batch; image++) {
                double sum = 0.0;
                double square = 0.0;
                for (int64_t i = 0; i < area; i++) {
                    const double value = x[(image * channels + channel) * area + i];
                    sum += value;
                    square += value * value;
                }
                #pragma omp atomic
                sums[image * groups + channel / members] += sum;
                #pragma omp atomic
                squares[image * groups + channel / members] += square;
            }
        }
        #pragma omp for
        for (int64_t image = 0; image < batch; image++) {
            for (int64_t channel = 0; channel < channels; channel++) {
                const int64_t group = channel / members;
                const double mean = sums[image * groups + group] / count;
                const double variance = squares[image * groups + group] / count - mean * mean;
                const double scale = 1.0 / std::sqrt(std::max(variance, 0.0) + eps);
                for (int64_t i = 0; i < area; i++) {
                    const int64_t at = (image * channels + channel) * area + i;
                    const double normal = (x[at] - mean) * scale;
                    const double value = normal * norm_weight[channel] + norm_bias[channel];
                    out[at] = value / (1.0 + std::exp(-value));
                }
            }
        }
    }
}
