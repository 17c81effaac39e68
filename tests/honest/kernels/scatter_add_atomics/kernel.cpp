extern "C" void kernel(const float* base, const int64_t* index, const float* values, float* out, int64_t rows,
                       int64_t dim, int64_t picks) {
    std::memcpy(out, base, rows * dim * sizeof(float));
    #pragma omp parallel for schedule(dynamic, 5)
    for (int64_t p = 0; p < picks; ++p) {
        float* to = out + index[p] * dim;
        for (int64_t c = 0; c < dim; ++c) {
            #pragma omp atomic
            to[c] += values[p * dim + c];
        }
    }
}
