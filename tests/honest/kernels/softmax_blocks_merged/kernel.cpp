struct Part {
    float top, sum;
};

static Part merge(Part a, Part b) {
    if (a.top < b.top) std::swap(a, b);
    return {a.top, a.sum + b.sum * std::exp(b.top - a.top)};
}

static Part reduce(const float* x, int64_t count) {
    if (count > 64) {
        const int64_t half = count / 2;
        return merge(reduce(x, half), reduce(x + half, count - half));
    }
    Part part{x[0], 0.0f};
    for (int64_t i = 1; i < count; ++i) part.top = std::max(part.top, x[i]);
    for (int64_t i = 0; i < count; ++i) part.sum += std::exp(x[i] - part.top);
    return part;
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for schedule(dynamic, 2)
    for (int64_t r = 0; r < rows; ++r) {
        const Part all = reduce(x + r * dim, dim);
        #pragma omp simd
        for (int64_t c = 0; c < dim; ++c) out[r * dim + c] = expf(x[r * dim + c] - all.top) / all.sum;
    }
}
