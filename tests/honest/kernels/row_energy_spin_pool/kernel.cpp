#include <atomic>
#include <thread>

namespace {

struct Job {
    const float* x;
    float* out;
    int64_t first, last, dim;
};

std::atomic<int> state{0};  // 0 idle, 1 given, 2 done
Job job;

void work(const Job& part) {
    for (int64_t r = part.first; r < part.last; ++r) {
        float sum = 0.0f;
        for (int64_t c = 0; c < part.dim; ++c) sum += part.x[r * part.dim + c] * part.x[r * part.dim + c];
        part.out[r] = sum / static_cast<float>(part.dim);
    }
}

void helper() {
    for (;;) {
        while (state.load(std::memory_order_acquire) != 1) std::this_thread::yield();
        work(job);
        state.store(2, std::memory_order_release);
    }
}

}  // namespace

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    static const bool started = [] {
        std::thread(helper).detach();
        return true;
    }();
    (void)started;
    job = {x, out, rows / 2, rows, dim};
    state.store(1, std::memory_order_release);
    work({x, out, 0, rows / 2, dim});
    while (state.load(std::memory_order_acquire) != 2) std::this_thread::yield();
    state.store(0, std::memory_order_relaxed);
}
