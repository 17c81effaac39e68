extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        double top = x[r * dim], sum = 1.0;
        for (int64_t c = 1; c < dim; ++c) {
            const double value = x[r * dim + c];
            if (value <= top) {
                sum += std::exp(value - top);
            } else {
                sum = 1.0 + sum * std::exp(top - value);
                top = value;
            }
        }
        out[r] = static_cast<float>(top + std::log(sum));
    }
}
