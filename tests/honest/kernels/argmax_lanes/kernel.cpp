extern "C" void kernel(const float* x, int64_t* out, int64_t rows, int64_t dim) {
    constexpr int64_t LANES = 16;
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * dim;
        float best[LANES];
        int32_t at[LANES];
        for (int64_t l = 0; l < LANES; ++l) best[l] = -INFINITY, at[l] = 0x7FFFFFFF;
        int64_t c = 0;
        for (; c + LANES <= dim; c += LANES) {
            #pragma omp simd
            for (int64_t l = 0; l < LANES; ++l) {
                const bool better = in[c + l] > best[l];
                best[l] = better ? in[c + l] : best[l];
                at[l] = better ? static_cast<int32_t>(c + l) : at[l];
            }
        }
        float top = -INFINITY;
        int64_t found = 0;
        bool any = false;
        for (int64_t l = 0; l < LANES && c > 0; ++l) {
            if (at[l] == 0x7FFFFFFF) continue;
            if (!any || best[l] > top || (best[l] == top && at[l] < found)) top = best[l], found = at[l];
            any = true;
        }
        for (; c < dim; ++c)
            if (!any || in[c] > top) top = in[c], found = c, any = true;
        out[r] = found;
    }
}
