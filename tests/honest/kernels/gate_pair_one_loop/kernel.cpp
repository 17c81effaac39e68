extern "C" void kernel(const float* x, float* gate, float* gated, int64_t rows, int64_t dim) {
    for (int64_t i = 0; i < rows * dim; ++i) {
        const double sigmoid = 1.0 / (1.0 + std::exp(-static_cast<double>(x[i])));
        gate[i] = static_cast<float>(sigmoid);
        gated[i] = static_cast<float>(sigmoid * x[i]);
    }
}
