extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        float s[8] = {};
        int64_t c = 0;
        for (; c + 8 <= dim; c += 8)
            for (int k = 0; k < 8; ++k) s[k] += in[c + k] * in[c + k];
        float sum = ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
        for (; c < dim; ++c) sum += in[c] * in[c];
        float scale = 1e12f;
        if (sum > 1e-24f) {
            const float guess = _mm_cvtss_f32(_mm_rsqrt_ss(_mm_set_ss(sum)));
            scale = guess * (1.5f - 0.5f * sum * guess * guess);
        }
        for (c = 0; c < dim; ++c) out[r * dim + c] = in[c] * scale;
    }
}
