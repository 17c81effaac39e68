extern "C" void kernel(const float* x, const float* weight, const float* bias, float* out, int64_t rows,
                       int64_t dim) {
    constexpr int LANES = 16;
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        float count[LANES] = {}, mean[LANES] = {}, squares[LANES] = {};
        for (int64_t c = 0; c < dim; ++c) {
            const int l = static_cast<int>(c % LANES);
            const float value = in[c] - in[0];
            count[l] += 1.0f;
            const float step = value - mean[l];
            mean[l] += step / count[l];
            squares[l] += step * (value - mean[l]);
        }
        for (int half = LANES / 2; half > 0; half /= 2) {
            for (int l = 0; l < half; ++l) {
                const float total = count[l] + count[l + half], step = mean[l + half] - mean[l];
                if (count[l + half] == 0.0f) continue;
                squares[l] += squares[l + half] + step * step * count[l] * count[l + half] / total;
                mean[l] += step * count[l + half] / total;
                count[l] = total;
            }
        }
        const float scale = 1.0f / std::sqrt(squares[0] / static_cast<float>(dim) + 1e-5f);
        for (int64_t c = 0; c < dim; ++c)
            out[r * dim + c] = (in[c] - in[0] - mean[0]) * scale * weight[c] + bias[c];
    }
}
