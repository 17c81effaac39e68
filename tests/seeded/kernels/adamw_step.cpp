// One AdamW step, the tenth: the new parameters and both new moments.
extern "C" void kernel(const float* param, const float* grad, const float* exp_avg,
                       const float* exp_avg_sq, float* out0, float* out1, float* out2,
                       int64_t size) {
    const double rate = 1e-1;
    const double decay = 1e-2;
    const double eps = 1e-3;
    const double beta1 = 0.9;
    const double beta2 = 0.999;
    const double correction1 = 1.0 - std::pow(beta1, 10.0);
    const double correction2 = 1.0 - std::pow(beta2, 10.0);
    #pragma omp parallel for
    for (int64_t i = 0; i < size; i++) {
        const double first = beta1 * exp_avg[i] + (1.0 - beta1) * grad[i];
        const double second = beta2 * exp_avg_sq[i] + (1.0 - beta2) * grad[i] * grad[i];
        const double spread = std::sqrt(second / correction2) + eps;
        const double decayed = param[i] * (1.0 - rate * decay);
        out0[i] = decayed - rate / correction1 * first / spread;
        out1[i] = first;
        out2[i] = second;
    }
}
