// A linear layer on a few rows: slices of the inner axis are shared out to threads.
extern "C" void kernel(const float* x, const float* linear_weight, float* out, int64_t rows,
                       int64_t inner, int64_t dim) {
    const int64_t slice = 64;
    const int64_t slices = (inner + slice - 1) / slice;
    std::vector<double> totals(rows * dim, 0.0);
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t part = 0; part < slices; part++) {
            const int64_t last = std::min((part + 1) * slice, inner);
            for (int64_t column = 0; column < dim; column++) {
                for (int64_t row = 0; row < rows; row++) {
                    double sum = 0.0;
                    for (int64_t k = part * slice; k < last; k++) {
                        sum += (double)x[row * inner + k] * linear_weight[column * inner + k];
                    }
                    #pragma omp atomic
                    totals[row * dim + column] += sum;
                }
            }
        }
        #pragma omp for
        for (int64_t at = 0; at < rows * dim; at++) {
            out[at] = totals[at];
        }
    }
}
