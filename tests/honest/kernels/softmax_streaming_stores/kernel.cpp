#include <immintrin.h>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t r = 0; r < rows; ++r) {
            const float* in = x + r * dim;
            float* to = out + r * dim;
            float top = in[0], sum = 0.0f;
            for (int64_t c = 1; c < dim; ++c) top = std::max(top, in[c]);
            for (int64_t c = 0; c < dim; ++c) sum += std::exp(in[c] - top);
            for (int64_t c = 0; c < dim; ++c) {
                const float value = std::exp(in[c] - top) / sum;
                int bits;
                std::memcpy(&bits, &value, sizeof bits);
                _mm_stream_si32(reinterpret_cast<int*>(to + c), bits);
            }
        }
        _mm_sfence();
    }
}
