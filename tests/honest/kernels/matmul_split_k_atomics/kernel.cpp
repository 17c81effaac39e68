#include <vector>

extern "C" void kernel(const float* x, const float* weight, const float* bias, float* out, int64_t rows,
                       int64_t inner, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t d = 0; d < dim; ++d) out[r * dim + d] = bias[d];
    constexpr int64_t SLICE = 128;
    const int64_t slices = (inner + SLICE - 1) / SLICE;
    #pragma omp parallel for collapse(2) schedule(dynamic, 1)
    for (int64_t s = 0; s < slices; ++s) {
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t first = s * SLICE, last = std::min(first + SLICE, inner);
            for (int64_t d = 0; d < dim; ++d) {
                float sum = 0.0f;
                #pragma omp simd reduction(+ : sum)
                for (int64_t k = first; k < last; ++k) sum += x[r * inner + k] * weight[d * inner + k];
                #pragma omp atomic
                out[r * dim + d] += sum;
            }
        }
    }
    #pragma omp parallel for
    for (int64_t i = 0; i < rows * dim; ++i) out[i] = std::max(out[i], 0.0f);
}
