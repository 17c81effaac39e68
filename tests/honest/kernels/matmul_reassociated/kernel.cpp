extern "C" void kernel(const float* x, const float* weight, const float* bias, float* out, int64_t rows,
                       int64_t inner, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t d = 0; d < dim; ++d) {
            float sum = 0.0f;
            for (int64_t k = 0; k < inner; ++k) sum += x[r * inner + k] * weight[d * inner + k];
            out[r * dim + d] = std::max(sum + bias[d], 0.0f);
        }
    }
}
