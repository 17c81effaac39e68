extern "C" void kernel(const float* gate, const float* up, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t i = 0; i < rows * dim; ++i) {
        const double half = 0.5 * gate[i];
        out[i] = static_cast<float>(half * (1.0 + std::tanh(half)) * up[i]);
    }
}
