// One new token of each sequence attends to a cache of keys and values, shared by groups of heads.
extern "C" void kernel(const float* q, const float* k, const float* v, float* out, int64_t batch,
                       int64_t n0, int64_t head_dim, int64_t kv_heads, int64_t length) {
    const double scale = 1.0 / std::sqrt((double)head_dim);
    const int64_t group = n0 / kv_heads;
    #pragma omp parallel for collapse(2)
    for (int64_t member = 0; member < batch; member++) {
        for (int64_t head = 0; head < n0; head++) {
            const int64_t shared = member * kv_heads + head / group;
            const int64_t place = (member * n0 + head) * head_dim;
            std::vector<double> scores(length);
            double largest = -INFINITY;
            for (int64_t key = 0; key < length; key++) {
                double score = 0.0;
                for (int64_t i = 0; i < head_dim; i++) {
                    score += (double)q[place + i] * k[(shared * length + key) * head_dim + i];
                }
                scores[key] = score * scale;
                largest = std::max(largest, scores[key]);
            }
            double total = 0.0;
            for (int64_t key = 0; key < length; key++) {
                scores[key] = std::exp(scores[key] - largest);
                total += scores[key];
            }
            for (int64_t i = 0; i < head_dim; i++) {
                double sum = 0.0;
                for (int64_t key = 0; key < length; key++) {
                    sum += scores[key] * v[(shared * length + key) * head_dim + i];
                }
                out[place + i] = sum / total;
            }
        }
    }
}
