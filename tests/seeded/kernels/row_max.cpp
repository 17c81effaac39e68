// The largest absolute value of each row, kept as a column; columns are shared out to threads.
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    for (int64_t row = 0; row < rows; row++) {
        out[row] = 0.0f;
    }
    #pragma omp parallel
    {
        std::vector<float> own(rows, -INFINITY);
        #pragma omp for
        for (int64_t i = 0; i < dim; i++) {
            for (int64_t row = 0; row < rows; row++) {
                own[row] = std::max(own[row], std::fabs(x[row * dim + i]));
            }
        }
        for (int64_t row = 0; row < rows; row++) {
            #pragma omp critical
            out[row] = std::max(out[row], own[row]);
        }
    }
}
