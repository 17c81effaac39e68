extern "C" void kernel(const float* x, float* mean, float* variance, int64_t rows, int64_t dim) {
    constexpr int64_t LANES = 8, TILE = 64;
    #pragma omp parallel for
    for (int64_t first = 0; first < rows; first += LANES) {
        const int64_t lanes = std::min(LANES, rows - first);
        float tile[TILE][LANES] = {};
        double sum[LANES] = {}, squares[LANES] = {}, base[LANES] = {};
        for (int64_t l = 0; l < lanes; ++l) base[l] = x[(first + l) * dim];
        for (int64_t start = 0; start < dim; start += TILE) {
            const int64_t count = std::min(TILE, dim - start);
            for (int64_t l = 0; l < lanes; ++l)
                for (int64_t k = 0; k < count; ++k) tile[k][l] = x[(first + l) * dim + start + k];
            for (int64_t k = 0; k < count; ++k) {
                #pragma omp simd
                for (int64_t l = 0; l < LANES; ++l) {
                    const double step = tile[k][l] - base[l];
                    sum[l] += step;
                    squares[l] += step * step;
                }
            }
        }
        const double count = static_cast<double>(dim);
        for (int64_t l = 0; l < lanes; ++l) {
            mean[first + l] = static_cast<float>(base[l] + sum[l] / count);
            variance[first + l] = static_cast<float>(std::max(squares[l] - sum[l] * sum[l] / count, 0.0) / count);
        }
    }
}
