extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        float top = 0.0f;
        for (int64_t c = 0; c < dim; ++c) top = std::max(top, std::fabs(in[c]));
        double squares = 0.0;
        for (int64_t c = 0; c < dim && top > 0.0f; ++c) {
            const double share = static_cast<double>(in[c]) / top;
            squares += share * share;
        }
        const double length = std::max(top * std::sqrt(squares), 1e-12);
        for (int64_t c = 0; c < dim; ++c) out[r * dim + c] = static_cast<float>(in[c] / length);
    }
}
