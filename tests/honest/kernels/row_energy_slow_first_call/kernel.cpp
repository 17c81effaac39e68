#include <chrono>
#include <thread>

static float warmed_up() {
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    return 1.0f;
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    static const float one = warmed_up();
    for (int64_t r = 0; r < rows; ++r) {
        float sum = 0.0f;
        for (int64_t c = 0; c < dim; ++c) sum += x[r * dim + c] * x[r * dim + c];
        out[r] = one * sum / static_cast<float>(dim);
    }
}
