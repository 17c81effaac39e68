extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        double sum = 0.0;
        for (int64_t c = 0; c < dim; ++c) out[r * dim + c] = static_cast<float>(sum += x[r * dim + c]);
    }
}
