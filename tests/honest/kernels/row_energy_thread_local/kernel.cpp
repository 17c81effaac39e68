#include <vector>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for schedule(dynamic, 5)
    for (int64_t r = 0; r < rows; ++r) {
        static thread_local std::vector<float> squares;
        if (static_cast<int64_t>(squares.size()) < dim) squares.resize(dim);
        for (int64_t c = 0; c < dim; ++c) squares[c] = x[r * dim + c] * x[r * dim + c];
        float even = 0.0f, odd = 0.0f;
        for (int64_t c = 0; c < dim; c += 2) {
            even += squares[c];
            if (c + 1 < dim) odd += squares[c + 1];
        }
        out[r] = (even + odd) / static_cast<float>(dim);
    }
}
