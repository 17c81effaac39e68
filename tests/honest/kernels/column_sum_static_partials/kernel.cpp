#include <vector>

static std::vector<float> partials;  // only ever grows; every used element is written first

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const int threads = omp_get_max_threads();
    if (static_cast<int64_t>(partials.size()) < threads * dim) partials.resize(threads * dim);
    int team = 1;
    #pragma omp parallel num_threads(threads)
    {
        #pragma omp single
        team = omp_get_num_threads();
        float* mine = partials.data() + omp_get_thread_num() * dim;
        std::fill(mine, mine + dim, 0.0f);
        #pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < dim; ++c) mine[c] += x[r * dim + c];
    }
    for (int64_t c = 0; c < dim; ++c) {
        float sum = 0.0f;
        for (int t = 0; t < team; ++t) sum += partials[t * dim + c];
        out[c] = sum;
    }
}
