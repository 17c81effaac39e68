#include <vector>

static std::vector<double> inverse;

__attribute__((constructor)) static void fill() {
    inverse.resize(4096);
    for (size_t i = 1; i < inverse.size(); ++i) inverse[i] = 1.0 / static_cast<double>(i);
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    const size_t known = static_cast<size_t>(dim);
    const double scale = known < inverse.size() && dim > 0 ? inverse[known] : 1.0 / static_cast<double>(dim);
    for (int64_t r = 0; r < rows; ++r) {
        double sum = 0.0;
        for (int64_t c = 0; c < dim; ++c) sum += static_cast<double>(x[r * dim + c]) * x[r * dim + c];
        out[r] = static_cast<float>(sum * scale);
    }
}
