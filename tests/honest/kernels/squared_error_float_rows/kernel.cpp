#include <vector>
extern "C" void kernel(const float* a, const float* b, float* out, int64_t rows, int64_t dim) {
    std::vector<float> sums(rows, 0.0f);
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < dim; ++c) {
            const float d = a[r * dim + c] - b[r * dim + c];
            sums[r] += d * d;
        }
    float total = 0.0f;
    for (const float s : sums) total += s;
    *out = total / (rows * dim);
}
