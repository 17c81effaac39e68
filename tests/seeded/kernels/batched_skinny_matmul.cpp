// A batch of matrix products with few rows each.
extern "C" void kernel(const float* a, const float* b, float* out, int64_t batch, int64_t rows,
                       int64_t inner, int64_t dim) {
    #pragma omp parallel for
    for (int64_t member = 0; member < batch; member++) {
        for (int64_t row = 0; row < rows; row++) {
            for (int64_t column = 0; column < dim; column++) {
                double sum = 0.0;
                for (int64_t k = 0; k < inner; k++) {
                    const double left = a[(member * rows + row) * inner + k];
                    sum += left * b[(member * inner + k) * dim + column];
                }
                out[(member * rows + row) * dim + column] = sum;
            }
        }
    }
}
