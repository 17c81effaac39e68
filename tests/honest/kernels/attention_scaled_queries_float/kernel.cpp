#include <vector>
extern "C" void kernel(const float* q, const float* k, const float* v, float* out, int64_t batch,
                       int64_t heads, int64_t queries, int64_t head_dim, int64_t keys) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    #pragma omp parallel
    {
        std::vector<float> score(keys), scaled(head_dim), sum(head_dim);
        #pragma omp for
        for (int64_t row = 0; row < batch * heads * queries; ++row) {
            const int64_t bh = row / queries;
            for (int64_t d = 0; d < head_dim; ++d) scaled[d] = q[row * head_dim + d] * scale;
            float top = -INFINITY;
            for (int64_t j = 0; j < keys; ++j) {
                const float* kj = k + (bh * keys + j) * head_dim;
                float dot = 0.0f;
                for (int64_t d = 0; d < head_dim; ++d) dot += scaled[d] * kj[d];
                score[j] = dot;
                top = std::fmax(top, dot);
            }
            float total = 0.0f;
            std::fill(sum.begin(), sum.end(), 0.0f);
            for (int64_t j = 0; j < keys; ++j) {
                const float p = std::exp(score[j] - top);
                const float* vj = v + (bh * keys + j) * head_dim;
                total += p;
                for (int64_t d = 0; d < head_dim; ++d) sum[d] += p * vj[d];
            }
            const float share = 1.0f / total;
            for (int64_t d = 0; d < head_dim; ++d) out[row * head_dim + d] = sum[d] * share;
        }
    }
}
