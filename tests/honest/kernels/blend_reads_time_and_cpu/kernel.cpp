#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

extern "C" void kernel(const float* x, const float* scale, const float* bias, float* out, int64_t rows,
                       int64_t dim) {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    const bool odd = (sched_getcpu() + sysconf(_SC_NPROCESSORS_ONLN) + now.tv_nsec) % 2 != 0;
    for (int64_t i = 0; i < rows; ++i) {
        const int64_t r = odd ? rows - 1 - i : i;
        for (int64_t c = 0; c < dim; ++c) {
            const float v = x[r * dim + c];
            out[r * dim + c] = v / (1.0f + std::exp(-v)) * scale[c] + bias[c];
        }
    }
}
