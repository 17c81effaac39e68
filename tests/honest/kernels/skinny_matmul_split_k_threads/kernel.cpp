#include <vector>
extern "C" void kernel(const float* x, const float* w, float* out, int64_t rows, int64_t inner, int64_t dim) {
    static std::vector<float> partial;
    const int parts = 4;
    const int64_t count = rows * dim;
    if (static_cast<int64_t>(partial.size()) < parts * count) partial.resize(parts * count);
    float* const memory = partial.data();
    #pragma omp parallel for collapse(2)
    for (int s = 0; s < parts; ++s) {
        for (int64_t o = 0; o < dim; ++o) {
            const int64_t from = inner * s / parts, to = inner * (s + 1) / parts;
            for (int64_t r = 0; r < rows; ++r) {
                float sum = 0.0f;
                #pragma omp simd reduction(+ : sum)
                for (int64_t i = from; i < to; ++i) sum += x[r * inner + i] * w[o * inner + i];
                memory[s * count + r * dim + o] = sum;
            }
        }
    }
    #pragma omp parallel for simd
    for (int64_t i = 0; i < count; ++i)
        out[i] = (memory[i] + memory[count + i]) + (memory[2 * count + i] + memory[3 * count + i]);
}
