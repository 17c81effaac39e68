// Rows of values added into the rows of a base that their indices name; several may meet.
extern "C" void kernel(const float* base, const int64_t* index, const float* values, float* out,
                       int64_t rows, int64_t dim, int64_t picks) {
    #pragma omp parallel
    {
        #pragma omp for
        for (int64_t i = 0; i < dim; i++) {
            for (int64_t row = 0; row < rows; row++) {
                out[row * dim + i] = base[row * dim + i];
            }
        }
        #pragma omp for
        for (int64_t pick = 0; pick < picks; pick++) {
            const int64_t row = index[pick];
            for (int64_t i = 0; i < dim; i++) {
                #pragma omp atomic
                out[row * dim + i] += values[pick * dim + i];
            }
        }
    }
}
