// Attention of each query to the keys up to its own position, with a running maximum.
extern "C" void kernel(const float* q, const float* k, const float* v, float* out, int64_t batch,
                       int64_t heads, int64_t length, int64_t head_dim) {
    const double scale = 1.0 / std::sqrt((double)head_dim);
    #pragma omp parallel for
    for (int64_t head = 0; head < batch * heads; head++) {
        std::vector<double> mixed(head_dim);
        for (int64_t query = 0; query < length; query++) {
            double largest = -INFINITY;
            double total = 0.0;
            for (int64_t i = 0; i < head_dim; i++) {
                mixed[i] = 0.0;
            }
            for (int64_t key = 0; key <= query; key++) {
                double score = 0.0;
                for (int64_t i = 0; i < head_dim; i++) {
                    const double left = q[(head * length + query) * head_dim + i];
                    score += left * k[(head * length + key) * head_dim + i];
                }
                score *= scale;
                const double level = std::max(largest, score);
                const double shrink = std::exp(largest - level);
                const double weight = std::exp(score - level);
                total = total * shrink + weight;
                for (int64_t i = 0; i < head_dim; i++) {
                    const double value = v[(head * length + key) * head_dim + i];
                    mixed[i] = mixed[i] * shrink + value * weight;
                }
                largest = level;
            }
            for (int64_t i = 0; i < head_dim; i++) {
                out[(head * length + query) * head_dim + i] = mixed[i] / total;
            }
        }
    }
}
