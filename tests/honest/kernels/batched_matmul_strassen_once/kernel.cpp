#include <vector>
namespace {
using M = std::vector<double>;
void product(const M& a, const M& b, M& c, int64_t m, int64_t k, int64_t n) {
    std::fill(c.begin(), c.end(), 0.0);
    for (int64_t i = 0; i < m; ++i)
        for (int64_t p = 0; p < k; ++p)
            for (int64_t j = 0; j < n; ++j) c[i * n + j] += a[i * k + p] * b[p * n + j];
}
M part(const float* x, int64_t stride, int64_t r, int64_t c, int64_t r0, int64_t c0, double sign = 0.0,
       int64_t r1 = 0, int64_t c1 = 0) {
    M out(r * c);
    for (int64_t i = 0; i < r; ++i)
        for (int64_t j = 0; j < c; ++j)
            out[i * c + j] = x[(r0 + i) * stride + c0 + j] +
                             (sign != 0.0 ? sign * x[(r1 + i) * stride + c1 + j] : 0.0);
    return out;
}
}  // namespace
extern "C" void kernel(const float* a, const float* b, float* out, int64_t batch, int64_t rows,
                       int64_t inner, int64_t dim) {
    const int64_t m = rows / 2, k = inner / 2, n = dim / 2;
    #pragma omp parallel for
    for (int64_t s = 0; s < batch; ++s) {
        const float* x = a + s * rows * inner;
        const float* y = b + s * inner * dim;
        float* to = out + s * rows * dim;
        M p[7];
        for (M& one : p) one.resize(m * n);
        product(part(x, inner, m, k, 0, 0, 1, m, k), part(y, dim, k, n, 0, 0, 1, k, n), p[0], m, k, n);
        product(part(x, inner, m, k, m, 0, 1, m, k), part(y, dim, k, n, 0, 0), p[1], m, k, n);
        product(part(x, inner, m, k, 0, 0), part(y, dim, k, n, 0, n, -1, k, n), p[2], m, k, n);
        product(part(x, inner, m, k, m, k), part(y, dim, k, n, k, 0, -1, 0, 0), p[3], m, k, n);
        product(part(x, inner, m, k, 0, 0, 1, 0, k), part(y, dim, k, n, k, n), p[4], m, k, n);
        product(part(x, inner, m, k, m, 0, -1, 0, 0), part(y, dim, k, n, 0, 0, 1, 0, n), p[5], m, k, n);
        product(part(x, inner, m, k, 0, k, -1, m, k), part(y, dim, k, n, k, 0, 1, k, n), p[6], m, k, n);
        const bool odd = inner % 2;
        for (int64_t i = 0; i < rows; ++i) {
            for (int64_t j = 0; j < dim; ++j) {
                double sum = 0.0;
                if (i < 2 * m && j < 2 * n) {
                    const int64_t at = i % std::max<int64_t>(m, 1) * n + j % std::max<int64_t>(n, 1);
                    if (i < m && j < n) sum = p[0][at] + p[3][at] - p[4][at] + p[6][at];
                    else if (i < m) sum = p[2][at] + p[4][at];
                    else if (j < n) sum = p[1][at] + p[3][at];
                    else sum = p[0][at] - p[1][at] + p[2][at] + p[5][at];
                    if (odd) sum += double(x[i * inner + inner - 1]) * y[(inner - 1) * dim + j];
                } else {
                    for (int64_t q = 0; q < inner; ++q) sum += double(x[i * inner + q]) * y[q * dim + j];
                }
                to[i * dim + j] = static_cast<float>(sum);
            }
        }
    }
}
