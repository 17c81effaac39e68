#include <vector>
extern "C" void kernel(const float* x, const float* w, const float* b, const float* grad_out, float* grad_x,
                       float* grad_w, float* grad_b, int64_t rows, int64_t dim) {
    (void)b;
    const int team = omp_get_max_threads();
    std::vector<float> partial(2 * dim * team, 0.0f);
    #pragma omp parallel num_threads(team)
    {
        float* gw = partial.data() + 2 * dim * omp_get_thread_num();
        float* gb = gw + dim;
        #pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; ++r) {
            const float* in = x + r * dim;
            const float* g = grad_out + r * dim;
            float mean = 0.0f;
            #pragma omp simd reduction(+ : mean)
            for (int64_t c = 0; c < dim; ++c) mean += in[c];
            mean /= dim;
            float var = 0.0f;
            #pragma omp simd reduction(+ : var)
            for (int64_t c = 0; c < dim; ++c) var += (in[c] - mean) * (in[c] - mean);
            const float rstd = 1.0f / std::sqrt(var / dim + 1e-5f);
            float s1 = 0.0f, s2 = 0.0f;
            #pragma omp simd reduction(+ : s1, s2)
            for (int64_t c = 0; c < dim; ++c) {
                const float hat = (in[c] - mean) * rstd;
                s1 += g[c] * w[c];
                s2 += g[c] * w[c] * hat;
            }
            s1 /= dim;
            s2 /= dim;
            for (int64_t c = 0; c < dim; ++c) {
                const float hat = (in[c] - mean) * rstd;
                grad_x[r * dim + c] = rstd * (g[c] * w[c] - s1 - hat * s2);
                gw[c] += g[c] * hat;
                gb[c] += g[c];
            }
        }
        #pragma omp for
        for (int64_t c = 0; c < dim; ++c) {
            float a = 0.0f, z = 0.0f;
            for (int t = 0; t < team; ++t) {
                a += partial[2 * dim * t + c];
                z += partial[2 * dim * t + dim + c];
            }
            grad_w[c] = a;
            grad_b[c] = z;
        }
    }
}
