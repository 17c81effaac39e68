namespace {
float dot(const float* a, const float* b, int64_t n) {
    float sum = 0.0f;
    for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}
float sigmoid(float x) { return 0.5f + 0.5f * std::tanh(0.5f * x); }
}  // namespace
extern "C" void kernel(const float* x, const float* h, const float* wi, const float* wh, const float* bi,
                       const float* bh, float* out, int64_t rows, int64_t inner, int64_t hidden, int64_t n0) {
    (void)n0;
    #pragma omp parallel for collapse(2)
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < hidden; ++j) {
            float gx[3], gh[3];
            for (int64_t g = 0; g < 3; ++g) {
                gx[g] = bi[g * hidden + j] + dot(x + r * inner, wi + (g * hidden + j) * inner, inner);
                gh[g] = bh[g * hidden + j] + dot(h + r * hidden, wh + (g * hidden + j) * hidden, hidden);
            }
            const float reset = sigmoid(gx[0] + gh[0]), update = sigmoid(gx[1] + gh[1]);
            const float fresh = std::tanh(gx[2] + reset * gh[2]);
            out[r * hidden + j] = fresh + update * (h[r * hidden + j] - fresh);
        }
    }
}
