extern "C" void kernel(const float* x, bool* above, int8_t* sign, int32_t* count, int64_t* best, int64_t rows,
                       int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        int32_t seen = 0;
        int64_t at = 0;
        for (int64_t c = 0; c < dim; ++c) {
            const float value = x[r * dim + c];
            const bool more = value > 0.5f;
            above[r * dim + c] = more;
            seen -= -static_cast<int32_t>(more);
            sign[r * dim + c] = static_cast<int8_t>((value > 0.0f) - (value < 0.0f));
            at = value > x[r * dim + at] ? c : at;
        }
        count[r] = seen;
        best[r] = at;
    }
}
