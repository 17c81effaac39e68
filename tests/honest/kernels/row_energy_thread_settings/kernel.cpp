#include <sched.h>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(2);
    omp_set_schedule(omp_sched_guided, 2);
    #pragma omp parallel for schedule(runtime)
    for (int64_t r = 0; r < rows; ++r) {
        double sum = 0.0;
        #pragma omp parallel for num_threads(2) reduction(+ : sum)
        for (int64_t c = 0; c < dim; ++c) sum += static_cast<double>(x[r * dim + c]) * x[r * dim + c];
        out[r] = static_cast<float>(sum / static_cast<double>(dim));
        if (r % 16 == 0) sched_yield();
    }
    omp_set_num_threads(before);
}
