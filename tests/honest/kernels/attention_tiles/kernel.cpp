#include <vector>

extern "C" void kernel(const float* q, const float* k, const float* v, float* out, int64_t batch,
                       int64_t heads, int64_t queries, int64_t head_dim, int64_t keys) {
    constexpr int64_t TILE = 32;
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    #pragma omp parallel
    {
        std::vector<float> sums(head_dim);
        #pragma omp for collapse(2) schedule(dynamic, 8)
        for (int64_t h = 0; h < batch * heads; ++h) {
            for (int64_t i = 0; i < queries; ++i) {
                const float* query = q + (h * queries + i) * head_dim;
                float top = -INFINITY, total = 0.0f, scores[TILE];
                std::fill(sums.begin(), sums.end(), 0.0f);
                for (int64_t first = 0; first < keys; first += TILE) {
                    const int64_t count = std::min(TILE, keys - first);
                    float highest = top;
                    for (int64_t j = 0; j < count; ++j) {
                        const float* key = k + (h * keys + first + j) * head_dim;
                        float dot = 0.0f;
                        #pragma omp simd reduction(+ : dot)
                        for (int64_t d = 0; d < head_dim; ++d) dot += query[d] * key[d];
                        scores[j] = dot * scale;
                        highest = std::max(highest, scores[j]);
                    }
                    const float shrink = std::exp(top - highest);
                    total *= shrink;
                    for (float& sum : sums) sum *= shrink;
                    for (int64_t j = 0; j < count; ++j) {
                        const float weight = std::exp(scores[j] - highest);
                        const float* value = v + (h * keys + first + j) * head_dim;
                        total += weight;
                        #pragma omp simd
                        for (int64_t d = 0; d < head_dim; ++d) sums[d] += weight * value[d];
                    }
                    top = highest;
                }
                for (int64_t d = 0; d < head_dim; ++d)
                    out[(h * queries + i) * head_dim + d] = sums[d] / total;
            }
        }
    }
}
