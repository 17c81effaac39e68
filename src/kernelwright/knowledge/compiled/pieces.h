// What generated code calls by these names, written anew. Each paragraph begins with the names that
// it defines; a candidate gets those that it uses.

// max_propagate_nan: the larger of two numbers, NaN if one is.
template <typename T>
static inline T max_propagate_nan(T a, T b) {
    return (a > b || a != a) ? a : b;
}

// min_propagate_nan: the smaller of two numbers, NaN if one is.
template <typename T>
static inline T min_propagate_nan(T a, T b) {
    return (a < b || a != a) ? a : b;
}

// kw_max: a maximum that is worked out in several parts.
#pragma omp declare reduction(kw_max : float, double : omp_out = max_propagate_nan(omp_out, omp_in)) \
    initializer(omp_priv = omp_orig)

// kw_min: a minimum that is worked out in several parts.
#pragma omp declare reduction(kw_min : float, double : omp_out = min_propagate_nan(omp_out, omp_in)) \
    initializer(omp_priv = omp_orig)

// IndexValue: an element and where it is.
template <typename T>
struct IndexValue {
    int64_t index;
    T value;
};

// argmax_combine: the larger element, the first of equal ones; a NaN counts as the largest.
template <typename T>
static inline IndexValue<T> argmax_combine(IndexValue<T> best, T value, int64_t index) {
    const bool nan = value != value, known = best.value != best.value;
    const bool same = value == best.value || (nan && known);
    const bool better = same ? index < best.index : (nan || (!known && value > best.value));
    return better ? IndexValue<T>{index, value} : best;
}

// argmin_combine: the smaller element, the first of equal ones; a NaN counts as the smallest.
template <typename T>
static inline IndexValue<T> argmin_combine(IndexValue<T> best, T value, int64_t index) {
    const bool nan = value != value, known = best.value != best.value;
    const bool same = value == best.value || (nan && known);
    const bool better = same ? index < best.index : (nan || (!known && value < best.value));
    return better ? IndexValue<T>{index, value} : best;
}

// kw_floor_div: a quotient of integers, rounded down.
static inline int64_t kw_floor_div(int64_t a, int64_t b) {
    const int64_t quotient = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

// kw_atomic_add: a sum that several threads add to.
template <typename T>
static inline void kw_atomic_add(T* to, T value) {
    #pragma omp atomic
    *to += value;
}

// Welford: a running count, mean and sum of squared distances from it.
template <typename T>
struct Welford {
    T mean = T(0);
    T m2 = T(0);
    T weight = T(0);
};

// welford_combine: one more element, or the elements of another part.
template <typename T>
static inline Welford<T> welford_combine(const Welford<T>& known, T value) {
    const T weight = known.weight + T(1), off = value - known.mean;
    const T mean = known.mean + off / weight;
    return {mean, known.m2 + off * (value - mean), weight};
}
template <typename T>
static inline Welford<T> welford_combine(const Welford<T>& a, const Welford<T>& b) {
    if (a.weight == T(0)) return b;
    if (b.weight == T(0)) return a;
    const T weight = a.weight + b.weight, off = b.mean - a.mean, share = b.weight / weight;
    return {a.mean + off * share, a.m2 + b.m2 + off * off * a.weight * share, weight};
}
