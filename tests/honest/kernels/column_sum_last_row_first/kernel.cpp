#include <vector>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    std::vector<float> sum(dim, 0.0f);
    for (int64_t r = rows - 1; r >= 0; --r)
        for (int64_t c = 0; c < dim; ++c) sum[c] += x[r * dim + c];
    std::copy(sum.begin(), sum.end(), out);
}
