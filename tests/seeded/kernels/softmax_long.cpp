// Softmax over the last axis of a few very long rows: slices of a row are shared out to threads.
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const int64_t slice = 1024;
    const int64_t slices = (dim + slice - 1) / slice;
    std::vector<float> tops(slices);
    for (int64_t row = 0; row < rows; row++) {
        #pragma omp parallel for
        for (int64_t part = 0; part < slices; part++) {
            const int64_t last = std::min((part + 1) * slice, dim);
            float top = -INFINITY;
            for (int64_t i = part * slice; i < last; i++) {
                top = std::max(top, x[row * dim + i]);
            }
            tops[part] = top;
        }
        float largest = -INFINITY;
        for (int64_t part = 0; part < slices; part++) {
            largest = std::max(largest, tops[part]);
        }
        double total = 0.0;
        #pragma omp parallel for reduction(+ : total)
        for (int64_t i = 0; i < dim; i++) {
            total += std::exp((double)x[row * dim + i] - largest);
        }
        #pragma omp parallel for
        for (int64_t i = 0; i < dim; i++) {
            out[row * dim + i] = std::exp((double)x[row * dim + i] - largest) / total;
        }
    }
}
