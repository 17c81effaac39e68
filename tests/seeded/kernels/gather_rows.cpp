// Rows of a matrix picked by index, each scaled by a weight of its own.
extern "C" void kernel(const float* x, const int64_t* index, const float* scale, float* out,
                       int64_t rows, int64_t dim, int64_t picks) {
    #pragma omp parallel for
    for (int64_t pick = 0; pick < picks; pick++) {
        const int64_t row = index[pick];
        const float factor = scale[pick];
        for (int64_t i = 0; i < dim; i++) {
            out[pick * dim + i] = x[row * dim + i] * factor;
        }
    }
}
