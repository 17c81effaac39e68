#include <vector>
extern "C" void kernel(const float* x, const float* w, const float* b, float* out, int64_t batch,
                       int64_t in_channels, int64_t height, int64_t width) {
    constexpr int64_t k = 3, big = 4, out_channels = 10;
    static std::vector<float> filter;
    if (static_cast<int64_t>(filter.size()) < out_channels * in_channels * big * big)
        filter.resize(out_channels * in_channels * big * big);
    std::fill(filter.begin(), filter.end(), 0.0f);
    for (int64_t p = 0; p < out_channels * in_channels; ++p)
        for (int64_t y = 0; y < k; ++y)
            for (int64_t c = 0; c < k; ++c)
                for (int64_t s = 0; s < 4; ++s)
                    filter[p * big * big + (y + s / 2) * big + c + s % 2] += 0.25f * w[(p * k + y) * k + c];
    const int64_t ph = (height - k + 1) / 2, pw = (width - k + 1) / 2;
    const float* const taps = filter.data();
    #pragma omp parallel for
    for (int64_t n = 0; n < batch; ++n) {
        float total = 0.0f;
        for (int64_t o = 0; o < out_channels; ++o) {
            for (int64_t i = 0; i < ph; ++i) {
                for (int64_t j = 0; j < pw; ++j) {
                    float sum = b[o];
                    for (int64_t c = 0; c < in_channels; ++c)
                        for (int64_t y = 0; y < big; ++y)
                            for (int64_t z = 0; z < big; ++z)
                                sum += x[((n * in_channels + c) * height + 2 * i + y) * width + 2 * j + z] *
                                       taps[((o * in_channels + c) * big + y) * big + z];
                    total += 1.0f / (1.0f + std::exp(-sum));
                }
            }
        }
        out[n] = total;
    }
}
