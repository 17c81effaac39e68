extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    std::memset(out, 0, dim * sizeof(float));
    #pragma omp parallel for schedule(dynamic, 1) num_threads(3)
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < dim; ++c) {
            #pragma omp atomic
            out[c] += x[r * dim + c];
        }
    }
}
