#include <vector>

struct Pair {
    float scale, bias;
};
static std::vector<Pair> packed;

extern "C" void kernel(const float* x, const float* scale, const float* bias, float* out, int64_t rows,
                       int64_t dim) {
    packed.resize(dim);
    for (int64_t c = 0; c < dim; ++c) packed[c] = {scale[c], bias[c]};
    const Pair* pairs = packed.data();
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < dim; ++c) {
            const float v = x[r * dim + c];
            out[r * dim + c] = v * pairs[c].scale / (1.0f + std::exp(-v)) + pairs[c].bias;
        }
}
