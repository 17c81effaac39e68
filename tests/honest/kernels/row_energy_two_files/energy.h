/* Plain C: declarations first, no overloads, no references. */
static float energy_of(const float *x, long n) {
    float even = 0, odd = 0;
    long i = 0;
    for (; i + 1 < n; i += 2) {
        even += x[i] * x[i];
        odd += x[i + 1] * x[i + 1];
    }
    if (i < n) even += x[i] * x[i];
    return even + odd;
}

static void row_energies(const float *x, float *out, long rows, long n) {
    long r;
    for (r = 0; r < rows; r++) out[r] = energy_of(x + r * n, n) / (float)n;
}
