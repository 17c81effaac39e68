#include <numeric>
#include <vector>

extern "C" void kernel(const float* x, const int64_t* index, const float* scale, float* out, int64_t rows,
                       int64_t dim, int64_t picks) {
    (void)rows;
    std::vector<int64_t> order(picks);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [index](int64_t a, int64_t b) { return index[a] < index[b]; });
    #pragma omp parallel for schedule(dynamic, 64)
    for (int64_t i = 0; i < picks; ++i) {
        const int64_t p = order[i];
        for (int64_t c = 0; c < dim; ++c) out[p * dim + c] = scale[p] * x[index[p] * dim + c];
    }
}
