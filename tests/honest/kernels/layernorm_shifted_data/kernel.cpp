extern "C" void kernel(const float* x, const float* weight, const float* bias, float* out, int64_t rows,
                       int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        double sum = 0.0, squares = 0.0;
        for (int64_t c = 0; c < dim; ++c) {
            const double step = static_cast<double>(in[c]) - in[0];
            sum += step;
            squares += step * step;
        }
        const double count = static_cast<double>(dim), shift = sum / count;
        const double variance = std::max((squares - sum * shift) / count, 0.0);
        const float mean = static_cast<float>(in[0] + shift);
        const float scale = static_cast<float>(1.0 / std::sqrt(variance + 1e-5));
        for (int64_t c = 0; c < dim; ++c)
            out[r * dim + c] = (in[c] - mean) * (scale * weight[c]) + bias[c];
    }
}
