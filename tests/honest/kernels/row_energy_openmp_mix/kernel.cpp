#include <vector>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    constexpr int64_t PARTS = 4;
    std::vector<double> part(rows * PARTS);
    #pragma omp parallel num_threads(5)
    {
        #pragma omp for collapse(2) schedule(dynamic, 7)
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t p = 0; p < PARTS; ++p) {
                double sum = 0.0;
                for (int64_t c = dim * p / PARTS; c < dim * (p + 1) / PARTS; ++c)
                    sum += static_cast<double>(x[r * dim + c]) * x[r * dim + c];
                part[r * PARTS + p] = sum;
            }
        }
        #pragma omp for nowait
        for (int64_t r = 0; r < rows; ++r) {
            double sum = 0.0;
            for (int64_t p = 0; p < PARTS; ++p) sum += part[r * PARTS + p];
            out[r] = static_cast<float>(sum / static_cast<double>(dim));
        }
    }
}
