extern "C" void kernel(const double* x, double* mean, double* length, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        double sum[8] = {}, squares[8] = {};
        for (int64_t c = dim - 1; c >= 0; --c) {
            const double value = x[r * dim + c];
            sum[c % 8] += value;
            squares[c % 8] += value * value;
        }
        for (int l = 1; l < 8; ++l) sum[0] += sum[l], squares[0] += squares[l];
        mean[r] = sum[0] / static_cast<double>(dim);
        length[r] = std::sqrt(squares[0]);
    }
}
