#include <numeric>
#include <vector>

extern "C" void kernel(const float* base, const int64_t* index, const float* values, float* out, int64_t rows,
                       int64_t dim, int64_t picks) {
    std::vector<int64_t> start(rows + 1, 0), order(picks);
    for (int64_t p = 0; p < picks; ++p) ++start[index[p] + 1];
    std::partial_sum(start.begin(), start.end(), start.begin());
    std::vector<int64_t> next(start.begin(), start.end() - 1);
    for (int64_t p = 0; p < picks; ++p) order[next[index[p]]++] = p;
    #pragma omp parallel for schedule(guided)
    for (int64_t r = 0; r < rows; ++r) {
        float* to = out + r * dim;
        std::fill(to, to + dim, 0.0f);
        for (int64_t i = start[r + 1] - 1; i >= start[r]; --i)
            for (int64_t c = 0; c < dim; ++c) to[c] += values[order[i] * dim + c];
        for (int64_t c = 0; c < dim; ++c) to[c] += base[r * dim + c];
    }
}
