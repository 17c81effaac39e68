#include <numeric>
#include <vector>

extern "C" void kernel(const float* x, float* values, int64_t* indices, int64_t rows, int64_t dim) {
    #pragma omp parallel
    {
        std::vector<int32_t> order(dim);
        #pragma omp for
        for (int64_t r = 0; r < rows; ++r) {
            const float* in = x + r * dim;
            std::iota(order.begin(), order.end(), 0);
            std::stable_sort(order.begin(), order.end(), [in](int32_t a, int32_t b) { return in[a] > in[b]; });
            for (int64_t i = 0; i < 4; ++i) {
                values[r * 4 + i] = in[order[i]];
                indices[r * 4 + i] = order[i];
            }
        }
    }
}
