// A linear layer on a few rows whose weights are eight-bit integers, with a scale per output.
extern "C" void kernel(const float* x, const int8_t* weight, const float* scale, float* out,
                       int64_t rows, int64_t inner, int64_t dim) {
    #pragma omp parallel for
    for (int64_t column = 0; column < dim; column++) {
        for (int64_t row = 0; row < rows; row++) {
            double sum = 0.0;
            for (int64_t k = 0; k < inner; k++) {
                sum += (double)x[row * inner + k] * (float)weight[column * inner + k];
            }
            out[row * dim + column] = sum * scale[column];
        }
    }
}
