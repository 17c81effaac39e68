// The sum of the squares of each row; columns are shared out to threads, in chunks.
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const int64_t chunk = 32;
    const int64_t chunks = (dim + chunk - 1) / chunk;
    std::vector<double> totals(rows, 0.0);
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t part = 0; part < chunks; part++) {
            for (int64_t row = 0; row < rows; row++) {
                const int64_t last = std::min((part + 1) * chunk, dim);
                double sum = 0.0;
                for (int64_t i = part * chunk; i < last; i++) {
                    const double value = x[row * dim + i];
                    sum += value * value;
                }
                #pragma omp atomic
                totals[row] += sum;
            }
        }
        #pragma omp for
        for (int64_t row = 0; row < rows; row++) {
            out[row] = totals[row];
        }
    }
}
