#include <future>
#include <vector>
extern "C" void kernel(const int64_t* tokens, const float* table, float* out, int64_t batch, int64_t length,
                       int64_t vocabulary, int64_t dim) {
    (void)vocabulary;
    const int64_t count = batch * length, parts = 3;
    std::vector<std::future<void>> workers;
    for (int64_t p = 0; p < parts; ++p)
        workers.push_back(std::async(std::launch::async, [=] {
            for (int64_t i = count * p / parts; i < count * (p + 1) / parts; ++i)
                std::memcpy(out + i * dim, table + tokens[i] * dim, sizeof(float) * dim);
        }));
    for (auto& worker : workers) worker.get();
}
