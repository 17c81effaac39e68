extern "C" void kernel(const float* x, const float* residual, const float* w, const float* b, float* out0,
                       float* out1, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        float* total = out1 + r * dim;
        float sum = 0.0f, square = 0.0f;
        for (int64_t c = 0; c < dim; ++c) sum += total[c] = x[r * dim + c] + residual[r * dim + c];
        const float mean = sum / dim;
        for (int64_t c = 0; c < dim; ++c) square += (total[c] - mean) * (total[c] - mean);
        const float scale = 1.0f / std::sqrt(square / dim + 1e-5f);
        for (int64_t c = 0; c < dim; ++c) out0[r * dim + c] = (total[c] - mean) * scale * w[c] + b[c];
    }
}
