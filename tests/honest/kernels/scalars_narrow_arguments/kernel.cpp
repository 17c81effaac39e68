extern "C" void kernel(const float* x, float gain, int shift, bool mirrored, float* out, int rows, int dim) {
    for (int64_t i = 0; i < static_cast<int64_t>(rows) * dim; ++i) {
        const float scaled = x[i] * gain + static_cast<float>(shift);
        out[i] = mirrored ? -scaled : scaled;
    }
}
