extern "C" void kernel(const float* x, float* values, int64_t* indices, int64_t rows, int64_t dim) {
    constexpr int64_t COUNT = 4;
    #pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        float best[COUNT];
        int64_t at[COUNT], found = 0;
        for (int64_t c = 0; c < dim; ++c) {
            const float value = x[r * dim + c];
            if (found == COUNT && !(value > best[COUNT - 1])) continue;
            int64_t slot = found < COUNT ? found++ : COUNT - 1;
            for (; slot > 0 && value > best[slot - 1]; --slot) best[slot] = best[slot - 1], at[slot] = at[slot - 1];
            best[slot] = value;
            at[slot] = c;
        }
        std::copy(best, best + COUNT, values + r * COUNT);
        std::copy(at, at + COUNT, indices + r * COUNT);
    }
}
