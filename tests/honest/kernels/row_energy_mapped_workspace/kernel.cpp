#include <sys/mman.h>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const size_t bytes = static_cast<size_t>(dim) * sizeof(double);
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    (void)madvise(memory, bytes, MADV_WILLNEED);
    double* squares = static_cast<double*>(memory);
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < dim; ++c) squares[c] = static_cast<double>(x[r * dim + c]) * x[r * dim + c];
        for (int64_t left = dim; left > 1; left = (left + 1) / 2)
            for (int64_t c = 0; c < left / 2; ++c) squares[c] += squares[left - 1 - c];
        out[r] = static_cast<float>(squares[0] / static_cast<double>(dim));
    }
    munmap(memory, bytes);
}
