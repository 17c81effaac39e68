extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = x + r * dim;
        float sum = 0.0f;
        for (int64_t c = 0; c < dim; ++c) {
#if defined(__x86_64__)
            asm("vfmadd231ss %1, %1, %0" : "+x"(sum) : "x"(row[c]));
#else
            sum = std::fma(row[c], row[c], sum);
#endif
        }
        out[r] = sum / static_cast<float>(dim);
    }
}
