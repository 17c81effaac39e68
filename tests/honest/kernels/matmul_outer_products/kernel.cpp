#include <vector>

extern "C" void kernel(const float* x, const float* weight, const float* bias, float* out, int64_t rows,
                       int64_t inner, int64_t dim) {
    std::vector<float> turned(inner * dim);
    for (int64_t d = 0; d < dim; ++d)
        for (int64_t k = 0; k < inner; ++k) turned[k * dim + d] = weight[d * inner + k];
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        float* to = out + r * dim;
        std::copy(bias, bias + dim, to);
        for (int64_t k = 0; k < inner; ++k) {
            const float a = x[r * inner + k];
            #pragma omp simd
            for (int64_t d = 0; d < dim; ++d) to[d] += a * turned[k * dim + d];
        }
        for (int64_t d = 0; d < dim; ++d) to[d] = to[d] > 0.0f ? to[d] : 0.0f;
    }
}
