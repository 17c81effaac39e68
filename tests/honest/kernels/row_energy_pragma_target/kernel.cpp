#include <cmath>
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#pragma GCC optimize("O3,unroll-loops")
static float energy(const float* x, int64_t dim) {
    float sum = 0.0f;
    #pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < dim; ++c) sum += x[c] * x[c];
    return sum;
}
#pragma GCC pop_options

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    for (int64_t r = 0; r < rows; ++r) out[r] = energy(x + r * dim, dim) / static_cast<float>(dim);
}
