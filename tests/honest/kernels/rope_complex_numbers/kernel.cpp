#include <complex>
extern "C" void kernel(const float* x, const float* cos, const float* sin, float* out, int64_t batch,
                       int64_t heads, int64_t length, int64_t n0, int64_t half_dim) {
    #pragma omp parallel for collapse(2)
    for (int64_t bh = 0; bh < batch * heads; ++bh) {
        for (int64_t t = 0; t < length; ++t) {
            const float* in = x + (bh * length + t) * n0;
            float* to = out + (bh * length + t) * n0;
            for (int64_t d = 0; d < half_dim; ++d) {
                const std::complex<float> turn(cos[t * half_dim + d], sin[t * half_dim + d]);
                const std::complex<float> y = std::complex<float>(in[d], in[half_dim + d]) * turn;
                to[d] = y.real();
                to[half_dim + d] = y.imag();
            }
        }
    }
}
