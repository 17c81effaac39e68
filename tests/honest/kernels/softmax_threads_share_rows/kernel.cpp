#include <vector>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    if (dim < 256) {
        for (int64_t r = 0; r < rows; ++r) {
            const float* in = x + r * dim;
            const float top = *std::max_element(in, in + dim);
            float sum = 0.0f;
            for (int64_t c = 0; c < dim; ++c) sum += out[r * dim + c] = std::exp(in[c] - top);
            for (int64_t c = 0; c < dim; ++c) out[r * dim + c] /= sum;
        }
        return;
    }
    std::vector<float> tops(rows * 64), sums(rows * 64);
    #pragma omp parallel num_threads(2)
    {
        const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
        const int64_t first = dim * me / team, last = dim * (me + 1) / team;
        for (int64_t r = 0; r < rows; ++r) {
            const float* in = x + r * dim;
            const float top = *std::max_element(in + first, in + last);
            float sum = 0.0f;
            #pragma omp simd reduction(+ : sum)
            for (int64_t c = first; c < last; ++c) sum += expf(in[c] - top);
            tops[r * 64 + me] = top;
            sums[r * 64 + me] = sum;
        }
        #pragma omp barrier
        for (int64_t r = 0; r < rows; ++r) {
            float top = tops[r * 64], sum = 0.0f;
            for (int64_t t = 1; t < team; ++t) top = std::max(top, tops[r * 64 + t]);
            for (int64_t t = 0; t < team; ++t) sum += sums[r * 64 + t] * std::exp(tops[r * 64 + t] - top);
            #pragma omp simd
            for (int64_t c = first; c < last; ++c) out[r * dim + c] = expf(x[r * dim + c] - top) / sum;
        }
    }
}
