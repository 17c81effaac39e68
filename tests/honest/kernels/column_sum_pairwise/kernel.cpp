static float pairwise(const float* x, int64_t stride, int64_t count) {
    if (count <= 4) {
        float sum = 0.0f;
        for (int64_t i = 0; i < count; ++i) sum += x[i * stride];
        return sum;
    }
    const int64_t half = count / 2;
    return pairwise(x, stride, half) + pairwise(x + half * stride, stride, count - half);
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t c = 0; c < dim; ++c) out[c] = pairwise(x + c, dim, rows);
}
