#include <immintrin.h>

extern "C" void kernel(const float* x, const float* scale, const float* bias, float* out, int64_t rows,
                       int64_t dim) {
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t r = 0; r < rows; ++r) {
            float* to = out + r * dim;
            auto value = [&](int64_t c) {
                const float v = x[r * dim + c];
                return v / (1.0f + std::exp(-v)) * scale[c] + bias[c];
            };
            int64_t c = 0;
            for (; c < dim && reinterpret_cast<uintptr_t>(to + c) % 32 != 0; ++c) to[c] = value(c);
            for (; c + 8 <= dim; c += 8) {
                alignas(32) float block[8];
                for (int64_t l = 0; l < 8; ++l) block[l] = value(c + l);
                _mm256_stream_ps(to + c, _mm256_load_ps(block));
            }
            for (; c < dim; ++c) to[c] = value(c);
        }
        _mm_sfence();
    }
}
