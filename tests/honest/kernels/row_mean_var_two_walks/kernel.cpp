extern "C" void kernel(const float* x, float* mean, float* variance, int64_t rows, int64_t dim) {
    for (int64_t r = 0; r < rows; ++r) {
        float sum = 0.0f;
        #pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < dim; ++c) sum += x[r * dim + c];
        mean[r] = sum / static_cast<float>(dim);
    }
    for (int64_t r = rows - 1; r >= 0; --r) {
        float squares = 0.0f, rest = 0.0f;
        for (int64_t c = 0; c < dim; ++c) {
            const float step = x[r * dim + c] - mean[r];
            squares += step * step;
            rest += step;
        }
        variance[r] = (squares - rest * rest / static_cast<float>(dim)) / static_cast<float>(dim);
    }
}
