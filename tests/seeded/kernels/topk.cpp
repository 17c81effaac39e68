// The four largest values of each row with their indices, largest first; the first of equals.
extern "C" void kernel(const float* x, float* out0, int64_t* out1, int64_t rows, int64_t dim) {
    const int64_t count = 4;
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        std::vector<float> left(dim);
        for (int64_t i = 0; i < dim; i++) {
            left[i] = x[row * dim + i];
        }
        for (int64_t place = 0; place < count; place++) {
            float largest = -INFINITY;
            int64_t where = 0;
            for (int64_t i = 0; i < dim; i++) {
                if (left[i] > largest) {
                    largest = left[i];
                    where = i;
                }
            }
            out0[row * count + place] = largest;
            out1[row * count + place] = where;
            left[where] = -INFINITY;
        }
    }
}
