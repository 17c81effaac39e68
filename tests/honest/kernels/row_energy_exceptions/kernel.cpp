#include <stdexcept>

struct Done : std::runtime_error {
    explicit Done(double sum) : std::runtime_error("done"), sum(sum) {}
    double sum;
};

static void add(const float* x, int64_t dim, int64_t at, double sum) {
    if (at == dim) throw Done(sum);
    for (int64_t end = std::min(at + 64, dim); at < end; ++at) sum += static_cast<double>(x[at]) * x[at];
    add(x, dim, at, sum);
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        try {
            add(x + r * dim, dim, 0, 0.0);
        } catch (const Done& done) {
            out[r] = static_cast<float>(done.sum / static_cast<double>(dim));
        }
    }
}
