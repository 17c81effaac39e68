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

// floor_divide_integral: a quotient of integers, rounded down; 0 where one divides by 0.
template <typename T, typename U>
static inline std::common_type_t<T, U> floor_divide_integral(T a, U b) {
    using C = std::common_type_t<T, U>;
    if (b == 0) return C(0);
    const C x = static_cast<C>(a), y = static_cast<C>(b), quotient = x / y;
    return x % y != 0 && (x < 0) != (y < 0) ? quotient - 1 : quotient;
}

// mod: what is left of a division, with the sign of the first number; 0 where integers are divided
// by 0.
template <typename T, typename U>
static inline std::common_type_t<T, U> mod(T a, U b) {
    using C = std::common_type_t<T, U>;
    const C x = static_cast<C>(a), y = static_cast<C>(b);
    if constexpr (std::is_integral_v<C>) {
        return y == C(0) || y == C(-1) ? C(0) : x % y;
    } else {
        return std::fmod(x, y);
    }
}

// remainder_integral: what is left of a division of integers, with the sign of the second one; 0
// where one divides by 0.
template <typename T>
static inline T remainder_integral(T a, T b) {
    const T left = mod(a, b);
    return left != 0 && (left < 0) != (b < 0) ? left + b : left;
}

// CascadeSumHelper: a long sum in double precision.
template <typename T, uint64_t>
struct CascadeSumHelper {
    double total = 0.0;
    CascadeSumHelper() = default;
    explicit CascadeSumHelper(int64_t) {}
};

// cascade_sum_combine: one more element of a long sum.
template <typename T, uint64_t N>
static inline T cascade_sum_combine(T value, CascadeSumHelper<T, N>* sum) {
    sum->total += value;
    return static_cast<T>(sum->total);
}

// cascade_sum_final: what a long sum comes to.
template <typename T, uint64_t N>
static inline T cascade_sum_final(CascadeSumHelper<T, N>* sum) {
    return static_cast<T>(sum->total);
}
