// RMSNorm with a learned scale; the sum of a row in chunks that are joined atomically.
extern "C" void kernel(const float* x, const float* weight, float* out, int64_t rows, int64_t dim) {
    const double eps = 1e-6;
    const int64_t chunk = 64;
    const int64_t chunks = (dim + chunk - 1) / chunk;
    std::vector<double> sums(rows, 0.0);
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t part = 0; part < chunks; part++) {
            for (int64_t row = 0; row < rows; row++) {
                const int64_t last = std::min((part + 1) * chunk, dim);
                double sum = 0.0;
                for (int64_t i = part * chunk; i < last; i++) {
                    sum += (double)x[row * dim + i] * x[row * dim + i];
                }
                #pragma omp atomic
                sums[row] += sum;
            }
        }
        #pragma omp for
        for (int64_t row = 0; row < rows; row++) {
            const double scale = 1.0 / std::sqrt(sums[row] / dim + eps);
            for (int64_t i = 0; i < dim; i++) {
                out[row * dim + i] = x[row * dim + i] * scale * weight[i];
            }
        }
    }
}
