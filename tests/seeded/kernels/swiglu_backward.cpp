// The gradients of SwiGLU: of the gate and of what it gates.
extern "C" void kernel(const float* gate, const float* up, const float* grad_out, float* grad_gate,
                       float* grad_up, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < dim; i++) {
            const int64_t at = row * dim + i;
            const double value = gate[at];
            const double share = 1.0 / (1.0 + std::exp(-value));
            const double slope = share * (1.0 + value * (1.0 - share));
            grad_gate[at] = grad_out[at] * up[at] * slope;
            grad_up[at] = grad_out[at] * value * share;
        }
    }
}
