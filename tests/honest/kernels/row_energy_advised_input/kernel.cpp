#include <sys/mman.h>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(x) & ~static_cast<uintptr_t>(4095);
    const uintptr_t end = reinterpret_cast<uintptr_t>(x + rows * dim);
    (void)madvise(reinterpret_cast<void*>(start), end - start, MADV_SEQUENTIAL);
    for (int64_t r = 0; r < rows; ++r) {
        float sum = 0.0f;
        for (int64_t c = 0; c < dim; ++c) sum += x[r * dim + c] * x[r * dim + c];
        out[r] = sum / static_cast<float>(dim);
    }
}
