extern "C" void kernel(const float* gate, const float* up, const float* grad_out, float* grad_gate,
                       float* grad_up, int64_t rows, int64_t dim) {
    const int64_t count = rows * dim;
    #pragma omp parallel for simd
    for (int64_t i = 0; i < count; ++i) {
        const float x = gate[i], e = expf(-std::fabs(x)), small = 1.0f / (1.0f + e);
        const float s = x >= 0.0f ? small : e * small;
        grad_up[i] = grad_out[i] * (x * s);
        grad_gate[i] = grad_out[i] * up[i] * (s + x * s * (e * small * small) / (s > 0.0f ? s : 1.0f));
    }
}
