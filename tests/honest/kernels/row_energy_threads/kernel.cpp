#include <thread>
#include <vector>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    auto work = [=](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            double sum = 0.0;
            for (int64_t c = 0; c < dim; ++c) sum += static_cast<double>(x[r * dim + c]) * x[r * dim + c];
            out[r] = static_cast<float>(sum / static_cast<double>(dim));
        }
    };
    constexpr int64_t TEAM = 3;
    std::vector<std::thread> team;
    for (int64_t t = 1; t < TEAM; ++t)
        team.emplace_back(work, rows * t / TEAM, rows * (t + 1) / TEAM);
    work(0, rows / TEAM);
    for (auto& thread : team) thread.join();
}
