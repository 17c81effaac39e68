#include <atomic>
#include <thread>
#include <vector>

static void add(std::atomic<uint32_t>& cell, float term) {
    uint32_t seen = cell.load(std::memory_order_relaxed);
    for (;;) {
        float value;
        std::memcpy(&value, &seen, sizeof value);
        value += term;
        uint32_t wanted;
        std::memcpy(&wanted, &value, sizeof wanted);
        if (cell.compare_exchange_weak(seen, wanted, std::memory_order_relaxed)) return;
    }
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    std::vector<std::atomic<uint32_t>> cells(dim);
    for (auto& cell : cells) cell.store(0);
    auto work = [&](int64_t first) {
        for (int64_t r = first; r < rows; r += 2)
            for (int64_t c = 0; c < dim; ++c) add(cells[c], x[r * dim + c]);
    };
    std::thread other(work, 1);
    work(0);
    other.join();
    for (int64_t c = 0; c < dim; ++c) {
        const uint32_t bits = cells[c].load();
        std::memcpy(&out[c], &bits, sizeof bits);
    }
}
