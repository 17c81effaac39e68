#include <vector>

extern "C" void kernel(const float* x, const float* weight, const float* bias, float* out, int64_t rows,
                       int64_t inner, int64_t dim) {
    constexpr int64_t NR = 16, KC = 96, MR = 4;
    #pragma omp parallel
    {
        std::vector<float> packed(KC * NR);
        #pragma omp for schedule(dynamic, 1)
        for (int64_t d0 = 0; d0 < dim; d0 += NR) {
            const int64_t nd = std::min(NR, dim - d0);
            for (int64_t r = 0; r < rows; ++r)
                for (int64_t d = 0; d < nd; ++d) out[r * dim + d0 + d] = 0.0f;
            for (int64_t k0 = 0; k0 < inner; k0 += KC) {
                const int64_t nk = std::min(KC, inner - k0);
                for (int64_t k = 0; k < nk; ++k)
                    for (int64_t d = 0; d < NR; ++d)
                        packed[k * NR + d] = d < nd ? weight[(d0 + d) * inner + k0 + k] : 0.0f;
                for (int64_t r0 = 0; r0 < rows; r0 += MR) {
                    float tile[MR][NR] = {};
                    const int64_t nr = std::min(MR, rows - r0);
                    for (int64_t k = 0; k < nk; ++k)
                        for (int64_t r = 0; r < nr; ++r) {
                            const float a = x[(r0 + r) * inner + k0 + k];
                            #pragma omp simd
                            for (int64_t d = 0; d < NR; ++d) tile[r][d] += a * packed[k * NR + d];
                        }
                    for (int64_t r = 0; r < nr; ++r)
                        for (int64_t d = 0; d < nd; ++d) out[(r0 + r) * dim + d0 + d] += tile[r][d];
                }
            }
            for (int64_t r = 0; r < rows; ++r)
                for (int64_t d = 0; d < nd; ++d)
                    out[r * dim + d0 + d] = std::max(out[r * dim + d0 + d] + bias[d0 + d], 0.0f);
        }
    }
}
