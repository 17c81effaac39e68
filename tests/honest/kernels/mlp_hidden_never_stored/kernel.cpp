#include <vector>

extern "C" void kernel(const float* x, const float* up, const float* up_bias, const float* down,
                       const float* down_bias, float* out, int64_t rows, int64_t dim, int64_t hidden) {
    constexpr int64_t BLOCK = 32;
    #pragma omp parallel
    {
        std::vector<float> part(BLOCK);
        #pragma omp for schedule(dynamic, 4)
        for (int64_t r = 0; r < rows; ++r) {
            float* to = out + r * dim;
            std::copy(down_bias, down_bias + dim, to);
            for (int64_t first = 0; first < hidden; first += BLOCK) {
                const int64_t count = std::min(BLOCK, hidden - first);
                for (int64_t h = 0; h < count; ++h) {
                    float sum = 0.0f;
                    #pragma omp simd reduction(+ : sum)
                    for (int64_t k = 0; k < dim; ++k) sum += x[r * dim + k] * up[(first + h) * dim + k];
                    const float v = sum + up_bias[first + h];
                    part[h] = 0.5f * v * std::erfc(-v * 0.70710678f);
                }
                for (int64_t d = 0; d < dim; ++d) {
                    float sum = 0.0f;
                    #pragma omp simd reduction(+ : sum)
                    for (int64_t h = 0; h < count; ++h) sum += part[h] * down[d * hidden + first + h];
                    to[d] += sum;
                }
            }
        }
    }
}
