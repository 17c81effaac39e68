#include <vector>
extern "C" void kernel(const float* q, const float* k, const float* v, float* out, int64_t batch,
                       int64_t n0, int64_t length, int64_t head_dim, int64_t kv_heads) {
    if (batch * n0 * length * head_dim == 0) return;
    const int64_t group = n0 / kv_heads;
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    #pragma omp parallel for collapse(2)
    for (int64_t b = 0; b < batch; ++b) {
        for (int64_t h = 0; h < kv_heads; ++h) {
            const float* keys = k + (b * kv_heads + h) * length * head_dim;
            const float* values = v + (b * kv_heads + h) * length * head_dim;
            std::vector<float> turned(length * head_dim), score(length);
            for (int64_t j = 0; j < length; ++j)
                for (int64_t d = 0; d < head_dim; ++d) turned[d * length + j] = keys[j * head_dim + d];
            for (int64_t g = 0; g < group; ++g) {
                for (int64_t i = 0; i < length; ++i) {
                    const int64_t at = ((b * n0 + h * group + g) * length + i) * head_dim;
                    std::fill(score.begin(), score.end(), 0.0f);
                    for (int64_t d = 0; d < head_dim; ++d) {
                        const float x = q[at + d];
                        for (int64_t j = 0; j <= i; ++j) score[j] += x * turned[d * length + j];
                    }
                    float top = score[0];
                    for (int64_t j = 1; j <= i; ++j) top = std::max(top, score[j]);
                    float total = 0.0f;
                    #pragma omp simd reduction(+ : total)
                    for (int64_t j = 0; j <= i; ++j) total += score[j] = expf((score[j] - top) * scale);
                    std::fill(out + at, out + at + head_dim, 0.0f);
                    for (int64_t j = 0; j <= i; ++j) {
                        const float p = score[j] / total;
                        for (int64_t d = 0; d < head_dim; ++d) out[at + d] += p * values[j * head_dim + d];
                    }
                }
            }
        }
    }
}
