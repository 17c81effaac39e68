// The mean and the variance of each row in one pass: sums in double, since they cancel.
extern "C" void kernel(const float* x, float* out0, float* out1, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        double sum = 0.0;
        double squares = 0.0;
        for (int64_t i = 0; i < dim; i++) {
            const double value = x[row * dim + i];
            sum += value;
            squares += value * value;
        }
        const double mean = sum / dim;
        out0[row] = mean;
        out1[row] = std::max(squares / dim - mean * mean, 0.0);
    }
}
