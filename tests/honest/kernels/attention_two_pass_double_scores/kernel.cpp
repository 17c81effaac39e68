#include <vector>
extern "C" void kernel(const float* q, const float* k, const float* v, float* out, int64_t batch,
                       int64_t heads, int64_t queries, int64_t head_dim, int64_t keys) {
    const double scale = 1.4426950408889634 / std::sqrt(static_cast<double>(head_dim));
    #pragma omp parallel
    {
        std::vector<double> score(keys), sum(head_dim);
        #pragma omp for collapse(2) schedule(dynamic, 4)
        for (int64_t bh = 0; bh < batch * heads; ++bh) {
            for (int64_t i = 0; i < queries; ++i) {
                const float* qi = q + (bh * queries + i) * head_dim;
                double top = -INFINITY;
                for (int64_t j = 0; j < keys; ++j) {
                    const float* kj = k + (bh * keys + j) * head_dim;
                    double dot = 0.0;
                    for (int64_t d = 0; d < head_dim; ++d) dot += static_cast<double>(qi[d]) * kj[d];
                    score[j] = dot * scale;
                    top = std::max(top, score[j]);
                }
                double total = 0.0;
                std::fill(sum.begin(), sum.end(), 0.0);
                for (int64_t j = 0; j < keys; ++j) {
                    const double p = std::exp2(score[j] - top);
                    total += p;
                    for (int64_t d = 0; d < head_dim; ++d) sum[d] += p * v[(bh * keys + j) * head_dim + d];
                }
                for (int64_t d = 0; d < head_dim; ++d)
                    out[(bh * queries + i) * head_dim + d] = static_cast<float>(sum[d] / total);
            }
        }
    }
}
