// Each row scaled to unit length.
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const double floor = 1e-12;
    std::vector<double> sums(rows, 0.0);
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t i = 0; i < dim; i++) {
            for (int64_t row = 0; row < rows; row++) {
                const double value = x[row * dim + i];
                #pragma omp atomic
                sums[row] += value * value;
            }
        }
        #pragma omp for
        for (int64_t row = 0; row < rows; row++) {
            const double length = std::max(std::sqrt(sums[row]), floor);
            for (int64_t i = 0; i < dim; i++) {
                out[row * dim + i] = x[row * dim + i] / length;
            }
        }
    }
}
