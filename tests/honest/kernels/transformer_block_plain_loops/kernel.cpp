#include <vector>
namespace {
void norm(const float* x, const float* w, const float* b, float* to, int64_t n) {
    float mean = 0.0f, spread = 0.0f;
    for (int64_t c = 0; c < n; ++c) mean += x[c];
    mean /= static_cast<float>(n);
    for (int64_t c = 0; c < n; ++c) spread += (x[c] - mean) * (x[c] - mean);
    const float scale = 1.0f / std::sqrt(spread / static_cast<float>(n) + 1e-5f);
    for (int64_t c = 0; c < n; ++c) to[c] = (x[c] - mean) * scale * w[c] + b[c];
}
void linear(const float* x, const float* w, const float* b, float* to, int64_t in, int64_t out) {
    for (int64_t o = 0; o < out; ++o) {
        float sum = b[o];
        for (int64_t i = 0; i < in; ++i) sum += x[i] * w[o * in + i];
        to[o] = sum;
    }
}
}  // namespace
extern "C" void kernel(const float* x, const float* nw1, const float* nb1, const float* qkv_w,
                       const float* qkv_b, const float* pw, const float* pb, const float* nw2,
                       const float* nb2, const float* uw, const float* ub, const float* dw,
                       const float* db, float* out, int64_t batch, int64_t length, int64_t dim,
                       int64_t n0, int64_t hidden) {
    const int64_t heads = 8, size = dim / heads;
    #pragma omp parallel for
    for (int64_t b = 0; b < batch; ++b) {
        std::vector<float> qkv(length * 3 * dim), a(dim), m(dim), up(hidden), score(length);
        const float* rows = x + b * length * dim;
        for (int64_t t = 0; t < length; ++t) {
            norm(rows + t * dim, nw1, nb1, a.data(), dim);
            linear(a.data(), qkv_w, qkv_b, qkv.data() + t * 3 * dim, dim, 3 * dim);
        }
        const float scale = 1.0f / std::sqrt(static_cast<float>(size));
        for (int64_t t = 0; t < length; ++t) {
            for (int64_t h = 0; h < heads; ++h) {
                const float* q = qkv.data() + t * 3 * dim + h * size;
                float top = -INFINITY, total = 0.0f;
                for (int64_t j = 0; j <= t; ++j) {
                    const float* k = qkv.data() + j * 3 * dim + dim + h * size;
                    float dot = 0.0f;
                    for (int64_t d = 0; d < size; ++d) dot += q[d] * k[d];
                    score[j] = dot * scale;
                    top = std::fmax(top, score[j]);
                }
                for (int64_t d = 0; d < size; ++d) m[h * size + d] = 0.0f;
                for (int64_t j = 0; j <= t; ++j) {
                    const float p = std::exp(score[j] - top);
                    const float* v = qkv.data() + j * 3 * dim + 2 * dim + h * size;
                    total += p;
                    for (int64_t d = 0; d < size; ++d) m[h * size + d] += p * v[d];
                }
                for (int64_t d = 0; d < size; ++d) m[h * size + d] /= total;
            }
            float* to = out + (b * length + t) * dim;
            linear(m.data(), pw, pb, to, dim, dim);
            for (int64_t c = 0; c < dim; ++c) to[c] += rows[t * dim + c];
            norm(to, nw2, nb2, a.data(), dim);
            linear(a.data(), uw, ub, up.data(), dim, hidden);
            for (float& u : up) u = 0.5f * u * (1.0f + std::erf(u * 0.70710678f));
            linear(up.data(), dw, db, a.data(), hidden, dim);
            for (int64_t c = 0; c < dim; ++c) to[c] += a[c];
        }
    }
}
