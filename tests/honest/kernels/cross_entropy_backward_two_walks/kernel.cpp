extern "C" void kernel(const float* logits, const int64_t* targets, const float* grad_out, float* grad_logits,
                       int64_t rows, int64_t classes) {
    #pragma omp parallel for schedule(dynamic)
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = logits + r * classes;
        float* to = grad_logits + r * classes;
        float top = -INFINITY, sum = 0.0f;
        #pragma omp simd reduction(max : top)
        for (int64_t c = 0; c < classes; ++c) top = std::max(top, in[c]);
        #pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < classes; ++c) sum += to[c] = expf(in[c] - top);
        const float scale = grad_out[r] / sum;
        for (int64_t c = 0; c < classes; ++c) to[c] *= scale;
        to[targets[r]] -= grad_out[r];
    }
}
