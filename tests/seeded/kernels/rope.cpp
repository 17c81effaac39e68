// Rotary position embedding: each pair of a head's channels is turned by its position's angle.
extern "C" void kernel(const float* x, const float* cos, const float* sin, float* out,
                       int64_t batch, int64_t heads, int64_t length, int64_t n0, int64_t half_dim) {
    #pragma omp parallel for
    for (int64_t head = 0; head < batch * heads; head++) {
        for (int64_t position = 0; position < length; position++) {
            for (int64_t i = 0; i < half_dim; i++) {
                const int64_t at = (head * length + position) * n0 + i;
                const float turn = cos[position * half_dim + i];
                const float lift = sin[position * half_dim + i];
                const float first = x[at];
                const float second = x[at + half_dim];
                out[at] = first * turn - second * lift;
                out[at + half_dim] = second * turn + first * lift;
            }
        }
    }
}
