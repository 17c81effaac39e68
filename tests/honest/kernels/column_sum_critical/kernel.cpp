#include <vector>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    std::fill(out, out + dim, 0.0f);
    #pragma omp parallel
    {
        std::vector<float> part(dim, 0.0f);
        #pragma omp for schedule(dynamic, 3) nowait
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < dim; ++c) part[c] += x[r * dim + c];
        #pragma omp critical
        for (int64_t c = 0; c < dim; ++c) out[c] += part[c];
    }
}
