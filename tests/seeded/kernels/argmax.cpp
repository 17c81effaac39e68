// The index of the largest value of each row; the first of equals.
extern "C" void kernel(const float* x, int64_t* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        float largest = -INFINITY;
        int64_t where = 0;
        for (int64_t i = 0; i < dim; i++) {
            const float value = x[row * dim + i];
            if (value > largest) {
                largest = value;
                where = i;
            }
        }
        out[row] = where;
    }
}
