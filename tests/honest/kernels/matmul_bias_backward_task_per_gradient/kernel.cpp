extern "C" void kernel(const float* x, const float* w, const float* b, const float* g, float* gx, float* gw,
                       float* gb, int64_t rows, int64_t inner, int64_t dim) {
    (void)b;
    #pragma omp parallel sections
    {
        #pragma omp section
        for (int64_t r = 0; r < rows; ++r) {
            float* to = gx + r * inner;
            std::fill(to, to + inner, 0.0f);
            for (int64_t o = 0; o < dim; ++o)
                for (int64_t i = 0; i < inner; ++i) to[i] += g[r * dim + o] * w[o * inner + i];
        }
        #pragma omp section
        {
            std::memset(gw, 0, sizeof(float) * dim * inner);
            for (int64_t r = 0; r < rows; ++r)
                for (int64_t o = 0; o < dim; ++o)
                    for (int64_t i = 0; i < inner; ++i) gw[o * inner + i] += g[r * dim + o] * x[r * inner + i];
        }
        #pragma omp section
        for (int64_t o = 0; o < dim; ++o) {
            float sum = 0.0f;
            for (int64_t r = 0; r < rows; ++r) sum += g[r * dim + o];
            gb[o] = sum;
        }
    }
}
