#include <csetjmp>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    volatile int64_t r = 0;
    std::jmp_buf again;
    if (rows == 0) return;
    setjmp(again);
    {
        const float* row = x + r * dim;
        float sum = 0.0f;
        int64_t c = 0;
    next:
        if (c < dim) {
            sum += row[c] * row[c];
            ++c;
            goto next;
        }
        out[r] = sum / static_cast<float>(dim);
    }
    r = r + 1;
    if (r < rows) longjmp(again, 1);
}
