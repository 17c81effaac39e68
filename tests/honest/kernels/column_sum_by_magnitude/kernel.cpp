#include <vector>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel
    {
        std::vector<float> terms(rows);
        #pragma omp for
        for (int64_t c = 0; c < dim; ++c) {
            for (int64_t r = 0; r < rows; ++r) terms[r] = x[r * dim + c];
            std::sort(terms.begin(), terms.end(),
                      [](float a, float b) { return std::fabs(a) < std::fabs(b); });
            float sum = 0.0f;
            for (float term : terms) sum += term;
            out[c] = sum;
        }
    }
}
