extern "C" void kernel(const float* x, const bool* mask, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        float sum = 0.0f;
        for (int64_t c = 0; c < dim; ++c) {
            sum += mask[r * dim + c] ? x[r * dim + c] : 0.0f;
            out[r * dim + c] = sum;
        }
    }
}
