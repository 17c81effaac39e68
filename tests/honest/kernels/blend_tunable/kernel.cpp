// tunable: BLOCK = 48 in {16, 48, 64}
extern "C" void kernel(const float* x, const float* scale, const float* bias, float* out, int64_t rows,
                       int64_t dim) {
    const int64_t blocks = (dim + BLOCK - 1) / BLOCK;
    #pragma omp parallel for collapse(2)
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t b = 0; b < blocks; ++b)
            for (int64_t c = b * BLOCK; c < std::min<int64_t>((b + 1) * BLOCK, dim); ++c) {
                const float v = x[r * dim + c];
                out[r * dim + c] = v / (1.0f + std::exp(-v)) * scale[c] + bias[c];
            }
}
