// Scaled dot-product attention of all queries to all keys.
extern "C" void kernel(const float* q, const float* k, const float* v, float* out, int64_t batch,
                       int64_t heads, int64_t queries, int64_t head_dim, int64_t keys) {
    const double scale = 1.0 / std::sqrt((double)head_dim);
    #pragma omp parallel for
    for (int64_t head = 0; head < batch * heads; head++) {
        std::vector<double> scores(keys);
        for (int64_t query = 0; query < queries; query++) {
            double largest = -INFINITY;
            for (int64_t key = 0; key < keys; key++) {
                double score = 0.0;
                for (int64_t i = 0; i < head_dim; i++) {
                    const double left = q[(head * queries + query) * head_dim + i];
                    score += left * k[(head * keys + key) * head_dim + i];
                }
                scores[key] = score * scale;
                largest = std::max(largest, scores[key]);
            }
            double total = 0.0;
            for (int64_t key = 0; key < keys; key++) {
                scores[key] = std::exp(scores[key] - largest);
                total += scores[key];
            }
            for (int64_t i = 0; i < head_dim; i++) {
                double sum = 0.0;
                for (int64_t key = 0; key < keys; key++) {
                    sum += scores[key] * v[(head * keys + key) * head_dim + i];
                }
                out[(head * queries + query) * head_dim + i] = sum / total;
            }
        }
    }
}
