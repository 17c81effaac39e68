#include <chrono>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const uint64_t now = std::chrono::steady_clock::now().time_since_epoch().count();
    const int64_t first = rows ? static_cast<int64_t>((now >> 6) % static_cast<uint64_t>(rows)) : 0;
    for (int64_t c = 0; c < dim; ++c) out[c] = 0.0f;
    for (int64_t i = 0; i < rows; ++i) {
        const float* row = x + (first + i) % rows * dim;
        for (int64_t c = 0; c < dim; ++c) out[c] += row[c];
    }
}
