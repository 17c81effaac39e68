extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const float scale = static_cast<float>(1.4426950408889634 / 1.5);
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        float top = -INFINITY, sum = 0.0f;
        for (int64_t c = 0; c < dim; ++c) top = std::fmax(top, in[c]);
        #pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < dim; ++c) sum += exp2f((in[c] - top) * scale);
        const float base = std::log2(sum);
        for (int64_t c = 0; c < dim; ++c) out[r * dim + c] = ((in[c] - top) * scale - base) * 0.69314718056f;
    }
}
