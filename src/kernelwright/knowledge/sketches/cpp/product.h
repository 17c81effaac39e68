// What matrix products in C++ are made of besides `pieces.h`.

// The sums of one tile: for each of Rows and Vectors of columns the sum over `depth` of what is at
// left[row] and in a panel of columns, added to what is there unless this is the `first` part of the
// depth. What `left` has of one step of the depth is `step` from that of the next, and what the panel
// has is `across`; rows of sums are `apart`.
template <class T, int Rows, int Vectors>
inline void kw_tile(
    const T* const* left, int64_t step, const T* right, int64_t across, int64_t depth, bool first,
    T* sums, int64_t apart
) {
    typedef T Vector __attribute__((vector_size(64)));
    // Read where it is: a copy of several vectors goes through memory, and the sums wait for it.
    typedef T Lying __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));
    constexpr int Lanes = 64 / int(sizeof(T));
    Vector sum[Rows][Vectors] = {};
    for (int64_t k = 0; k < depth; ++k) {
        Vector here[Vectors];
        #pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v)
            here[v] = *reinterpret_cast<const Lying*>(right + k * across + v * Lanes);
        #pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row) {
            const T one = left[row][k * step];
            #pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) sum[row][v] += one * here[v];
        }
    }
    #pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row)
        #pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) {
            Lying* const to = reinterpret_cast<Lying*>(sums + row * apart + v * Lanes);
            *to = first ? sum[row][v] : *to + sum[row][v];
        }
}

// As `kw_tile`, of Rows and Columns, in tiles that the registers hold: 32 of 64 bytes, or 16 of 32.
template <class T, int Rows, int Columns>
inline void kw_product(
    const T* const (&left)[Rows], int64_t step, const T* right, int64_t across, int64_t depth,
    bool first, T* sums, int64_t apart
) {
    constexpr int lanes = 64 / int(sizeof(T));
    static_assert(Columns % lanes == 0, "a row of a tile is whole vectors");
#if defined(__AVX512F__)
    kw_tile<T, Rows, Columns / lanes>(left, step, right, across, depth, first, sums, apart);
#else
    constexpr int rows = Rows % 6 == 0 ? 6 : Rows % 4 == 0 ? 4 : Rows;
    for (int column = 0; column < Columns; column += lanes)
        for (int row = 0; row < Rows; row += rows)
            kw_tile<T, rows, 1>(
                left + row, step, right + column, across, depth, first,
                sums + row * apart + column, apart);
#endif
}

// Calls step(c) for every c from 0 up to `count`, which is Width for all panels but the last.
template <int Width, class Step>
inline void kw_columns(int64_t count, const Step& step) {
    if (count == Width) {
        #pragma omp simd
        for (int64_t c = 0; c < Width; ++c) step(c);
    } else {
        #pragma omp simd
        for (int64_t c = 0; c < count; ++c) step(c);
    }
}

// The first Half of lanes of two vectors in turns, or with Second the others.
template <bool Second, class Vector, std::size_t... Lane>
inline Vector kw_in_turns(Vector a, Vector b, std::index_sequence<Lane...>) {
    constexpr std::size_t count = sizeof...(Lane), begin = Second ? count / 2 : 0;
    return __builtin_shufflevector(a, b, (begin + Lane / 2 + Lane % 2 * count)...);
}

// Rows of `steps` elements, `apart` from each other, as columns: `to` has Width of them beside each
// other, for one step after another. A square of vectors whose halves are put in turns as often as
// its side is a power of two has its rows as columns.
template <class T, int Width>
inline void kw_turned(const T* rows, int64_t apart, int64_t steps, T* to) {
    static_assert(Width == 1 || Width % 2 == 0, "what is beside each other is whole vectors");
    if constexpr (Width == 1) {
        std::copy_n(rows, steps, to);
        return;
    }
    constexpr int most = sizeof(T) == 4 ? 16 : 8;
    constexpr int side = Width % most == 0 ? most : Width % 8 == 0 ? 8 : Width % 4 == 0 ? 4 : 2;
    typedef T Vector __attribute__((vector_size(side * sizeof(T))));
    constexpr auto lanes = std::make_index_sequence<side>();
    for (int64_t step = 0; step < steps; step += side)
        for (int row = 0; row < Width; row += side) {
            Vector square[side], next[side];
            #pragma GCC unroll 16
            for (int n = 0; n < side; ++n)
                std::memcpy(&square[n], rows + (row + n) * apart + step, sizeof(Vector));
            #pragma GCC unroll 4
            for (int power = 1; power < side; power *= 2) {
                #pragma GCC unroll 8
                for (int n = 0; n < side / 2; ++n) {
                    next[2 * n] = kw_in_turns<false>(square[n], square[n + side / 2], lanes);
                    next[2 * n + 1] = kw_in_turns<true>(square[n], square[n + side / 2], lanes);
                }
                #pragma GCC unroll 16
                for (int n = 0; n < side; ++n) square[n] = next[n];
            }
            #pragma GCC unroll 16
            for (int n = 0; n < side; ++n)
                if (step + n < steps) std::memcpy(to + (step + n) * Width + row, &square[n], sizeof(Vector));
        }
}

// Into how many parts the rows are cut: the sums of one must fit the cache, and there must be work
// for each of `threads`, where that leaves enough rows to each for packing its columns to pay.
inline int64_t kw_parts(int64_t tiles, int64_t row_panels, int64_t threads) {
    const int64_t least = (row_panels + 63) / 64, most = std::max<int64_t>(1, row_panels / 4);
    return std::max(least, std::min(4 * threads / std::max<int64_t>(1, tiles) + 1, most));
}
