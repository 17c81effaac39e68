#include <utility>

template <int N>
struct Depth {
    static constexpr long value = Depth<N - 1>::value + 1;
};
template <>
struct Depth<0> {
    static constexpr long value = 0;
};

template <std::size_t... I>
static float lanes(const float* x, int64_t count, std::index_sequence<I...>) {
    return (... + (static_cast<int64_t>(I) < count ? x[I] * x[I] : 0.0f));
}

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    static_assert(Depth<800>::value == 800);
    for (int64_t r = 0; r < rows; ++r) {
        float sum = 0.0f;
        for (int64_t c = 0; c < dim; c += 64)
            sum += lanes(x + r * dim + c, std::min<int64_t>(64, dim - c), std::make_index_sequence<64>());
        out[r] = sum / static_cast<float>(dim);
    }
}
