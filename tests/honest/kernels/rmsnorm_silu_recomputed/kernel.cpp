extern "C" void kernel(const float* x, const float* w, float* out, int64_t rows, int64_t dim) {
    omp_set_max_active_levels(2);
    #pragma omp parallel for num_threads(2)
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        float square = 0.0f;
        #pragma omp parallel for reduction(+ : square) num_threads(2) if (dim > 512 && r % 64 == 0)
        for (int64_t c = 0; c < dim; ++c) square += in[c] * in[c];
        const float scale = 1.0f / std::sqrt(square / dim + 1e-6f);
        #pragma omp simd
        for (int64_t c = 0; c < dim; ++c) {
            const float y = in[c] * (scale * w[c]);
            out[r * dim + c] = y / (1.0f + expf(-y));
        }
    }
}
