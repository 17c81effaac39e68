#include <vector>
extern "C" void kernel(const float* x, const float* w, const float* b, float* out, int64_t batch,
                       int64_t in_channels, int64_t length, int64_t out_channels) {
    #pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < batch; ++n) {
        for (int64_t o = 0; o < out_channels; ++o) {
            std::vector<float> row(length, b[o]);
            for (int64_t i = 0; i < in_channels; ++i) {
                const float* in = x + (n * in_channels + i) * length;
                for (int64_t k = 0; k < 5; ++k) {
                    const float tap = w[(o * in_channels + i) * 5 + k];
                    const int64_t from = std::max<int64_t>(0, 2 - k), to = std::min(length, length + 2 - k);
                    for (int64_t t = from; t < to; ++t) row[t] += tap * in[t + k - 2];
                }
            }
            for (int64_t t = 0; t < length; ++t)
                out[(n * out_channels + o) * length + t] = row[t] * (0.5f * std::erfc(-row[t] * 0.70710678f));
        }
    }
}
