extern "C" void kernel(const float* logits, const int64_t* targets, float* out, int64_t rows,
                       int64_t classes) {
    #pragma omp parallel for schedule(dynamic, 16)
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = logits + r * classes;
        const float pivot = in[targets[r]];
        float top = in[0];
        for (int64_t c = 1; c < classes; ++c) top = std::max(top, in[c]);
        float sum = 0.0f;
        #pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < classes; ++c) sum += expf(in[c] - top);
        out[r] = std::log(sum) + (top - pivot);
    }
}
