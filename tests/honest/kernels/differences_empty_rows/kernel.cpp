extern "C" void kernel(const float* x, float* steps, float* energy, int64_t rows, int64_t dim, int64_t count) {
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        double sum = 0.0;
        for (int64_t c = 0; c < count; ++c) {
            const float step = x[r * dim + c + 1] - x[r * dim + c];
            steps[r * count + c] = step;
            sum += static_cast<double>(step) * step;
        }
        energy[r] = static_cast<float>(sum);
    }
}
