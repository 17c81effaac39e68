extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t c = 0; c < dim; ++c) {
        float sum = 0.0f, rest = 0.0f;
        for (int64_t r = 0; r < rows; ++r) {
            const float term = x[r * dim + c];
            const float next = sum + term;
            if (std::fabs(sum) >= std::fabs(term)) {
                rest += (sum - next) + term;
            } else {
                rest += (term - next) + sum;
            }
            sum = next;
        }
        out[c] = sum + rest;
    }
}
