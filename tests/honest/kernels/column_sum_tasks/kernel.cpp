#include <vector>

static void sum_rows(const float* x, float* out, int64_t rows, int64_t dim) {
    if (rows <= 16) {
        for (int64_t c = 0; c < dim; ++c) out[c] = 0.0f;
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < dim; ++c) out[c] += x[r * dim + c];
        return;
    }
    std::vector<float> other(dim);
    float* upper = other.data();
    const int64_t half = rows / 2;
    #pragma omp task default(none) firstprivate(x, out, half, dim)
    sum_rows(x, out, half, dim);
    #pragma omp task default(none) firstprivate(x, upper, half, rows, dim)
    sum_rows(x + half * dim, upper, rows - half, dim);
    #pragma omp taskwait
    for (int64_t c = 0; c < dim; ++c) out[c] += upper[c];
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel
    #pragma omp single
    sum_rows(x, out, rows, dim);
}
