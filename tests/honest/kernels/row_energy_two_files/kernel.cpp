#include "energy.h"

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    row_energies(x, out, rows, dim);
}
