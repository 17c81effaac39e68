// A pre-norm transformer block: causal attention and a perceptron, each beside a residual.
namespace {

// Layer normalisation of each of `rows` rows of `dim`.
void normalise(const float* x, const float* weight, const float* bias, float* out, int64_t rows,
               int64_t dim) {
    const double eps = 1e-5;
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        double sum = 0.0;
        for (int64_t i = 0; i < dim; i++) {
            sum += x[row * dim + i];
        }
        const double mean = sum / dim;
        double squares = 0.0;
        for (int64_t i = 0; i < dim; i++) {
            const double centred = x[row * dim + i] - mean;
            squares += centred * centred;
        }
        const double scale = 1.0 / std::sqrt(squares / dim + eps);
        for (int64_t i = 0; i < dim; i++) {
            out[row * dim + i] = (x[row * dim + i] - mean) * scale * weight[i] + bias[i];
        }
    }
}

// A linear layer from `inner` to `dim` channels.
void linear(const float* x, const float* weight, const float* bias, float* out, int64_t rows,
            int64_t inner, int64_t dim) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t column = 0; column < dim; column++) {
            double sum = bias[column];
            for (int64_t k = 0; k < inner; k++) {
                sum += (double)x[row * inner + k] * weight[column * inner + k];
            }
            out[row * dim + column] = sum;
        }
    }
}

}  // namespace

extern "C" void kernel(const float* x, const float* attention_norm_weight,
                       const float* attention_norm_bias, const float* qkv_weight,
                       const float* qkv_bias, const float* project_weight,
                       const float* project_bias, const float* mlp_norm_weight,
                       const float* mlp_norm_bias, const float* up_weight, const float* up_bias,
                       const float* down_weight, const float* down_bias, float* out,
                       int64_t batch, int64_t length, int64_t dim, int64_t n0, int64_t hidden) {
    const int64_t heads = 8;
    const int64_t head_dim = dim / heads;
    const int64_t rows = batch * length;
    const double scale = 1.0 / std::sqrt((double)head_dim);
    const double half_root = 0.70710678118654752;
    std::vector<float> normal(rows * dim);
    std::vector<float> qkv(rows * n0);
    std::vector<float> mixed(rows * dim);
    std::vector<float> inside(rows * hidden);
    normalise(x, attention_norm_weight, attention_norm_bias, normal.data(), rows, dim);
    linear(normal.data(), qkv_weight, qkv_bias, qkv.data(), rows, dim, n0);
    #pragma omp parallel for collapse(2)
    for (int64_t member = 0; member < batch; member++) {
        for (int64_t head = 0; head < heads; head++) {
            std::vector<double> scores(length);
            for (int64_t query = 0; query < length; query++) {
                const int64_t asks = (member * length + query) * n0 + head * head_dim;
                double largest = -INFINITY;
                for (int64_t key = 0; key <= query; key++) {
                    const int64_t holds = (member * length + key) * n0 + dim + head * head_dim;
                    double score = 0.0;
                    for (int64_t i = 0; i < head_dim; i++) {
                        score += (double)qkv[asks + i] * qkv[holds + i];
                    }
                    scores[key] = score * scale;
                    largest = std::max(largest, scores[key]);
                }
                double total = 0.0;
                for (int64_t key = 0; key <= query; key++) {
                    scores[key] = std::exp(scores[key] - largest);
                    total += scores[key];
                }
                for (int64_t i = 0; i < head_dim; i++) {
                    double sum = 0.0;
                    for (int64_t key = 0; key <= query; key++) {
                        const int64_t gives = (member * length + key) * n0 + 2 * dim;
                        sum += scores[key] * qkv[gives + head * head_dim + i];
                    }
                    mixed[(member * length + query) * dim + head * head_dim + i] = sum / total;
                }
            }
        }
    }
    linear(mixed.data(), project_weight, project_bias, out, rows, dim, dim);
    for (int64_t at = 0; at < rows * dim; at++) {
        out[at] += x[at];
    }
    normalise(out, mlp_norm_weight, mlp_norm_bias, normal.data(), rows, dim);
    linear(normal.data(), up_weight, up_bias, inside.data(), rows, dim, hidden);
    for (int64_t at = 0; at < rows * hidden; at++) {
        const double value = inside[at];
        inside[at] = 0.5 * value * std::erfc(-value * half_root);
    }
    linear(inside.data(), down_weight, down_bias, mixed.data(), rows, hidden, dim);
    for (int64_t at = 0; at < rows * dim; at++) {
        out[at] += mixed[at];
    }
}
