// The index of the smallest value of each row after a bias per column; the first of equals.
extern "C" void kernel(const float* x, const float* bias, int64_t* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        float smallest = INFINITY;
        int64_t where = 0;
        for (int64_t i = 0; i < dim; i++) {
            const float value = x[row * dim + i] + bias[i];
            if (value < smallest) {
                smallest = value;
                where = i;
            }
        }
        out[row] = where;
    }
}
