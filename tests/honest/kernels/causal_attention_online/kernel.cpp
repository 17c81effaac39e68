extern "C" void kernel(const float* q, const float* k, const float* v, float* out, int64_t batch,
                       int64_t heads, int64_t length, int64_t head_dim) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    #pragma omp parallel for schedule(dynamic, 8)
    for (int64_t row = 0; row < batch * heads * length; ++row) {
        const int64_t first = row / length * length, last = row;
        const float* qi = q + row * head_dim;
        float* to = out + row * head_dim;
        std::memset(to, 0, sizeof(float) * head_dim);
        float top = -INFINITY, total = 0.0f;
        for (int64_t j = first; j <= last; ++j) {
            const float* kj = k + j * head_dim;
            float dot = 0.0f;
            #pragma omp simd reduction(+ : dot)
            for (int64_t d = 0; d < head_dim; ++d) dot += qi[d] * kj[d];
            dot *= scale;
            if (dot > top) {
                const float shrink = std::exp(top - dot);
                total *= shrink;
                for (int64_t d = 0; d < head_dim; ++d) to[d] *= shrink;
                top = dot;
            }
            const float p = std::exp(dot - top);
            total += p;
            for (int64_t d = 0; d < head_dim; ++d) to[d] = std::fma(p, v[j * head_dim + d], to[d]);
        }
        for (int64_t d = 0; d < head_dim; ++d) to[d] /= total;
    }
}
