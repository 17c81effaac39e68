extern "C" void kernel(const float* x, uint8_t* above, uint8_t* sign, uint32_t* count, uint64_t* best,
                       int64_t rows, int64_t dim) {
    const int64_t total = rows * dim;
    for (int64_t i = 0; i < total; ++i) above[i] = static_cast<uint8_t>(x[i] > 0.5f ? 1 : 0);
    for (int64_t i = 0; i < total; ++i) sign[i] = static_cast<uint8_t>(x[i] > 0.0f ? 1 : x[i] < 0.0f ? 0xFF : 0);
    for (int64_t r = rows - 1; r >= 0; --r) {
        uint32_t seen = 0;
        for (int64_t c = 0; c < dim; ++c) seen += above[r * dim + c];
        count[r] = seen;
        best[r] = static_cast<uint64_t>(std::max_element(x + r * dim, x + (r + 1) * dim) - (x + r * dim));
    }
}
