static double compensated(const double* x, int64_t count, bool squared) {
    double sum = 0.0, rest = 0.0;
    for (int64_t i = 0; i < count; ++i) {
        const double term = squared ? x[i] * x[i] : x[i];
        if (squared) rest += std::fma(x[i], x[i], -term);
        const double next = sum + term;
        rest += std::fabs(sum) >= std::fabs(term) ? (sum - next) + term : (term - next) + sum;
        sum = next;
    }
    return sum + rest;
}

extern "C" void kernel(const double* x, double* mean, double* length, int64_t rows, int64_t dim) {
    for (int64_t r = 0; r < rows; ++r) {
        mean[r] = compensated(x + r * dim, dim, false) / static_cast<double>(dim);
        length[r] = std::sqrt(compensated(x + r * dim, dim, true));
    }
}
