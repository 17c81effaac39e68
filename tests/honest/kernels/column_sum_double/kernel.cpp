#include <vector>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    std::vector<double> sum(dim, 0.0);
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < dim; ++c) sum[c] += x[r * dim + c];
    for (int64_t c = 0; c < dim; ++c) out[c] = static_cast<float>(sum[c]);
}
