#include <memory>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    static float* kept = static_cast<float*>(std::malloc(64));  // never freed, never shared
    float* aligned = static_cast<float*>(std::aligned_alloc(64, (dim * 4 + 63) / 64 * 64));
    void* raw = nullptr;
    if (aligned == nullptr || posix_memalign(&raw, 4096, rows * sizeof(float) + 1) != 0) std::abort();
    float* sums = static_cast<float*>(raw);
    std::unique_ptr<float[]> copy(new float[dim]);
    for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(aligned, x + r * dim, dim * sizeof(float));
        for (int64_t c = 0; c < dim; ++c) copy[c] = aligned[c] * aligned[c];
        float* tail = static_cast<float*>(std::calloc(1, sizeof(float)));
        tail = static_cast<float*>(std::realloc(tail, 2 * sizeof(float)));
        tail[1] = 0.0f;
        for (int64_t c = 0; c < dim; ++c) tail[c % 2] += copy[c];
        kept[0] = tail[0] + tail[1];
        sums[r] = kept[0] / static_cast<float>(dim);
        std::free(tail);
    }
    std::memcpy(out, sums, rows * sizeof(float));
    std::free(aligned);
    std::free(raw);
}
