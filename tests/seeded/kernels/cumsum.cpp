// The running sum along each row: sums of chunks first, then each chunk from where it starts.
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const int64_t chunk = 128;
    const int64_t chunks = (dim + chunk - 1) / chunk;
    std::vector<double> totals(rows * chunks, 0.0);
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t part = 0; part < chunks; part++) {
            for (int64_t row = 0; row < rows; row++) {
                const int64_t last = std::min((part + 1) * chunk, dim);
                double sum = 0.0;
                for (int64_t i = part * chunk; i < last; i++) {
                    sum += x[row * dim + i];
                }
                totals[row * chunks + part] = sum;
            }
        }
        #pragma omp for
        for (int64_t row = 0; row < rows; row++) {
            double running = 0.0;
            for (int64_t part = 0; part < chunks; part++) {
                const int64_t last = std::min((part + 1) * chunk, dim);
                double sum = running;
                for (int64_t i = part * chunk; i < last; i++) {
                    sum += x[row * dim + i];
                    out[row * dim + i] = sum;
                }
                running += totals[row * chunks + part];
            }
        }
    }
}
