// What sketches in C++ are made of. Each paragraph defines one thing, and only the paragraphs that
// a kernel uses are copied into it. Polynomials were fitted by ourselves: minimax, in float64.
// Loops over these functions become vector code: they have no branches and call nothing.

inline float kw_from_bits(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline uint32_t kw_to_bits(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// x = k * log(2) + rest, with k an integer and |rest| at most log(2) / 2. Adding 1.5 * 2^23 rounds
// to an integer and leaves it in the low bits.
struct kw_Reduced {
    float rest;
    uint32_t bits;
};

inline kw_Reduced kw_reduced(float x) {
    const float shifted = std::fma(x, 1.44269502f, 12582912.0f);
    const float k = shifted - 12582912.0f;
    const float rest = std::fma(k, -1.42860677e-6f, std::fma(k, -0.693145752f, x));
    return {rest, kw_to_bits(shifted)};
}

// (exp(r) - 1 - r) / r^2 for |r| up to log(2) / 2.
inline float kw_exp_tail(float r) {
    float p = std::fma(1.381446491e-3f, r, 8.368780836e-3f);
    p = std::fma(p, r, 4.166839272e-2f);
    p = std::fma(p, r, 1.666651964e-1f);
    return std::fma(p, r, 4.999999404e-1f);
}

// exp for finite x between -87.3 and 88.7.
inline float kw_exp_inside(float x) {
    const kw_Reduced at = kw_reduced(x);
    const float p = std::fma(at.rest * at.rest, kw_exp_tail(at.rest), at.rest) + 1.0f;
    return kw_from_bits(kw_to_bits(p) + (at.bits << 23));
}

// Within 1.1 units in the last place. Results below the smallest normal number become zero.
inline float kw_exp(float x) {
    const float y = kw_exp_inside(x);
    const float high = x < 88.7228394f ? y : x * INFINITY;
    return x < -87.3365479f ? 0.0f : high;
}

inline double kw_exp(double x) { return std::exp(x); }

// exp(x) - 1, also for x near zero. 2^(k-1) is used, which exists for every k.
inline float kw_expm1(float x) {
    const float low = x < -18.0f ? -18.0f : x;
    const float inside = low > 88.7228394f ? 88.7228394f : low;
    const kw_Reduced at = kw_reduced(inside);
    const float q = std::fma(at.rest * at.rest, kw_exp_tail(at.rest), at.rest);
    const float half = kw_from_bits((at.bits << 23) + (126u << 23));
    const float y = 2.0f * std::fma(half, q, half - 0.5f);
    return x > 88.7228394f ? INFINITY : y;
}

inline double kw_expm1(double x) { return std::expm1(x); }

inline float kw_tanh(float x) {
    const float size = std::fabs(x);
    const float e = kw_expm1(-2.0f * (size > 9.1f ? 9.1f : size));
    return std::copysign(-e / (e + 2.0f), x);
}

inline double kw_tanh(double x) { return std::tanh(x); }

inline float kw_sigmoid(float x) { return 1.0f / (1.0f + kw_exp(-x)); }

inline double kw_sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// log for finite, normal x above zero: x = 2^e * (1 + m), m between sqrt(1/2) - 1 and sqrt(2) - 1.
inline float kw_log_inside(float x, float more) {
    const uint32_t bits = kw_to_bits(x);
    const int32_t e = static_cast<int32_t>(bits - 0x3f3504f3u) >> 23;
    const float m = kw_from_bits(bits - (static_cast<uint32_t>(e) << 23)) - 1.0f;
    const float exponent = static_cast<float>(e) + more;
    float p = std::fma(-7.634429634e-2f, m, 1.276154965e-1f);
    p = std::fma(p, m, -1.316019446e-1f);
    p = std::fma(p, m, 1.420176178e-1f);
    p = std::fma(p, m, -1.662335694e-1f);
    p = std::fma(p, m, 2.000122666e-1f);
    p = std::fma(p, m, -2.500082254e-1f);
    p = std::fma(p, m, 3.333333135e-1f);
    const float square = m * m;
    const float tail = std::fma(square * m, p, std::fma(exponent, 1.42860677e-6f, -0.5f * square));
    return std::fma(exponent, 0.693145752f, m + tail);
}

inline float kw_log(float x) {
    const bool small = x < 1.17549435e-38f;
    const float y = kw_log_inside(small ? x * 8388608.0f : x, small ? -23.0f : 0.0f);
    const float high = x < INFINITY ? y : x;
    const float low = x == 0.0f ? -INFINITY : high;
    return x < 0.0f ? NAN : low;
}

inline double kw_log(double x) { return std::log(x); }

inline float kw_log2(float x) { return kw_log(x) * 1.44269504f; }

inline double kw_log2(double x) { return std::log2(x); }

inline float kw_log10(float x) { return kw_log(x) * 0.434294482f; }

inline double kw_log10(double x) { return std::log10(x); }

// log(1 + x): what 1 + x loses is added to the logarithm, to first order.
inline float kw_log1p(float x) {
    const float whole = 1.0f + x;
    const float lost = x - (whole - 1.0f);
    const float near = 2.0f - whole;
    const float y = kw_log(whole) + (whole > 0.0f && whole < 2.0f ? lost * near : 0.0f);
    return y;
}

inline double kw_log1p(double x) { return std::log1p(x); }

// Near zero x + x * p(x^2), else 1 - q(|x|): whoever takes 1 from it, as a gelu does, is left with an
// error of two roundings of 1 at most. A NaN is not above 1.25, and so stays one.
inline float kw_erf(float x) {
    const float size = std::fabs(x);
    const float square = x * x;
    float p = std::fma(6.265348418e-5f, square, -7.455873048e-4f);
    p = std::fma(p, square, 5.115294019e-3f);
    p = std::fma(p, square, -2.680927535e-2f);
    p = std::fma(p, square, 1.128235683e-1f);
    p = std::fma(p, square, -3.761250247e-1f);
    p = std::fma(p, square, 1.283791459e-1f);
    const float near = std::fma(p, x, x);
    const float inside = size < 3.925f ? size : 3.925f;
    const float t = std::fma(inside, 7.272727273e-1f, -1.909090909f);
    float q = std::fma(3.434297561e-4f, t, -2.626467043e-4f);
    q = std::fma(q, t, -1.768525377e-3f);
    q = std::fma(q, t, 3.332351739e-3f);
    q = std::fma(q, t, -4.792698761e-4f);
    q = std::fma(q, t, -6.684506136e-3f);
    q = std::fma(q, t, 1.520249859e-2f);
    q = std::fma(q, t, -2.063228486e-2f);
    q = std::fma(q, t, 1.934938203e-2f);
    q = std::fma(q, t, -1.272488365e-2f);
    q = std::fma(q, t, 5.697055890e-3f);
    q = std::fma(q, t, -1.577928420e-3f);
    q = std::fma(q, t, 2.053725640e-4f);
    // From 3.925 on it is 1, exactly: an infinity times what is left of 1 is NaN.
    const float far = size < 3.925f ? 1.0f - q : 1.0f;
    return size > 1.25f ? std::copysign(far, x) : near;
}

inline double kw_erf(double x) { return std::erf(x); }

// The larger one; NaN if either is, as in torch. Two choices become vector code where one of two
// conditions does not.
template <class T>
inline T kw_max(T a, T b) {
    const T larger = a > b ? a : b;
    return a != a ? a : larger;
}

// The smaller one; NaN if either is, as in torch.
template <class T>
inline T kw_min(T a, T b) {
    const T smaller = a < b ? a : b;
    return a != a ? a : smaller;
}

template <class T>
inline T kw_relu(T x) {
    return x < T(0) ? T(0) : x;
}

template <class T>
inline T kw_sign(T x) {
    return static_cast<T>((T(0) < x) - (x < T(0)));
}

// The bits of x, of one below the normal numbers those of a normal number 2^24 times as large.
inline uint32_t kw_normal_bits(float x) {
    return kw_to_bits(std::fabs(x) < 1.17549435e-38f ? x * 16777216.0f : x);
}

// x = fraction * 2^exponent with a fraction from 1/2 up to 1; zero, infinities and NaN stay, with
// the exponent 0.
inline float kw_fraction(float x) {
    const float fraction = kw_from_bits((kw_normal_bits(x) & 0x807fffffu) | 0x3f000000u);
    return x != 0.0f && std::fabs(x) < INFINITY ? fraction : x;
}

inline double kw_fraction(double x) {
    int exponent;
    return std::frexp(x, &exponent);
}

inline int32_t kw_exponent(float x) {
    const int32_t down = std::fabs(x) < 1.17549435e-38f ? 150 : 126;
    const int32_t exponent = static_cast<int32_t>((kw_normal_bits(x) >> 23) & 0xffu) - down;
    return x != 0.0f && std::fabs(x) < INFINITY ? exponent : 0;
}

inline int32_t kw_exponent(double x) {
    int exponent = 0;
    std::frexp(x, &exponent);
    return std::fabs(x) < INFINITY ? exponent : 0;
}

// Python's remainder: the sign is the divisor's.
inline int64_t kw_remainder(int64_t a, int64_t b) {
    const int64_t left = a % b;
    return left != 0 && (left < 0) != (b < 0) ? left + b : left;
}

inline float kw_remainder(float a, float b) {
    const float left = std::fmod(a, b);
    return left != 0.0f && (left < 0.0f) != (b < 0.0f) ? left + b : left;
}

inline double kw_remainder(double a, double b) {
    const double left = std::fmod(a, b);
    return left != 0.0 && (left < 0.0) != (b < 0.0) ? left + b : left;
}

// Division rounded down, as in Python.
inline int64_t kw_floor_div(int64_t a, int64_t b) {
    return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

inline float kw_floor_div(float a, float b) { return std::floor((a - kw_remainder(a, b)) / b + 0.5f); }

inline double kw_floor_div(double a, double b) { return std::floor((a - kw_remainder(a, b)) / b + 0.5); }

// Calls step(j, lane) for every j from begin up to end, in order, as vectors of Width.
template <int Width, class Step>
inline void kw_lanes(int64_t begin, int64_t end, const Step& step) {
    int64_t j = begin;
    for (; j + Width <= end; j += Width) {
        #pragma omp simd
        for (int lane = 0; lane < Width; ++lane) step(j + lane, lane);
    }
    for (int lane = 0; j + lane < end; ++lane) step(j + lane, lane);
}

// As `kw_lanes`, with ahead(j) called before each vector.
template <int Width, class Step, class Ahead>
inline void kw_lanes_ahead(int64_t begin, int64_t end, const Step& step, const Ahead& ahead) {
    int64_t j = begin;
    for (; j + Width <= end; j += Width) {
        ahead(j);
        #pragma omp simd
        for (int lane = 0; lane < Width; ++lane) step(j + lane, lane);
    }
    for (int lane = 0; j + lane < end; ++lane) step(j + lane, lane);
}

// Asks for Count elements to be brought into the core's cache, to be written if Written. It is a
// hint: memory that is not there is not brought. To g++ a function that only asks does nothing, and a
// call of it can be left out, so there must be none.
template <int Count, bool Written, class T>
__attribute__((always_inline)) inline void kw_ask(const T* from) {
    #pragma GCC unroll 8
    for (std::size_t at = 0; at < Count * sizeof(T); at += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(from) + at, Written, 2);
}

// The lanes of a partial result as one, in pairs: (0 with n/2), ... then half as many, and so on.
template <class T, std::size_t Count, class Join>
inline T kw_joined(T (&part)[Count], const Join& join) {
    for (std::size_t half = Count / 2; half > 0; half /= 2)
        #pragma omp simd
        for (std::size_t lane = 0; lane < half; ++lane)
            part[lane] = join(part[lane], part[lane + half]);
    return part[0];
}

// `value` moved up by By lanes, with those of `fill` coming in.
template <std::size_t By, class Vector, std::size_t... Lane>
inline Vector kw_moved(Vector value, Vector fill, std::index_sequence<Lane...>) {
    constexpr std::size_t count = sizeof...(Lane);
    return __builtin_shufflevector(value, fill, (Lane < By ? count + Lane : Lane - By)...);
}

// Each lane as what it and those before it come to: with the one before, then two more, then four.
template <std::size_t By, std::size_t Count, class Vector, class Join>
inline Vector kw_run_lanes(Vector value, Vector neutral, const Join& join) {
    if constexpr (By < Count) {
        const Vector before = kw_moved<By>(value, neutral, std::make_index_sequence<Count>());
        return kw_run_lanes<2 * By, Count>(join(before, value), neutral, join);
    }
    return value;
}

// Calls put(j, value) for j from 0 up to `count`, in order, with what `carried` and get(0) up to
// get(j) come to; so `carried` afterwards. Vectors wait for each other only for what `ours` come to,
// and a long row loses no digits: what it carries from call to call may be of a wider type.
template <class T, class Carried, class Join, class Get, class Put>
inline void kw_run(
    int64_t count, Carried& carried, T neutral, const Join& join, const Get& get, const Put& put) {
#if defined(__AVX512F__)
    constexpr int bytes = 64;
#elif defined(__AVX__)
    constexpr int bytes = 32;
#else
    constexpr int bytes = 16;
#endif
    typedef T Vector __attribute__((vector_size(bytes)));
    constexpr int lanes = bytes / int(sizeof(T));
    const Vector fill = neutral - Vector{}, before = static_cast<T>(carried) - Vector{};
    Vector ours = fill;
    int64_t j = 0;
    // Some vectors at a time: one alone would wait for its values to come back through memory.
    const auto run = [&](auto vectors) {
        constexpr int all = lanes * decltype(vectors)::value;
        for (; j + all <= count; j += all) {
            alignas(bytes) T values[all];
            #pragma omp simd
            for (int lane = 0; lane < all; ++lane) values[lane] = get(j + lane);
            for (int first = 0; first < all; first += lanes) {
                Vector value;
                std::memcpy(&value, values + first, bytes);
                value = kw_run_lanes<1, lanes>(value, fill, join);
                value = join(ours, value);
                ours = value[lanes - 1] - Vector{};
                const Vector both = join(before, value);
                std::memcpy(values + first, &both, bytes);
            }
            #pragma omp simd
            for (int lane = 0; lane < all; ++lane) put(j + lane, values[lane]);
        }
    };
    run(std::integral_constant<int, 8>());
    run(std::integral_constant<int, 1>());
    carried = join(carried, static_cast<Carried>(ours[0]));
    for (; j < count; ++j) {
        carried = join(carried, static_cast<Carried>(get(j)));
        put(j, static_cast<T>(carried));
    }
}

// Keeps the better of (value, at) and (other, place). A NaN is better than any number; of equals,
// the first.
template <bool Largest, class T>
inline void kw_better(T& value, int64_t& at, T other, int64_t place) {
    const bool more = Largest ? other > value : other < value;
    const bool same = other == value || (other != other && value != value);
    const bool better = more || (other != other && value == value) || (same && place < at);
    value = better ? other : value;
    at = better ? place : at;
}

// Whether an extremum of what comes later in the row takes the place of (value, at).
template <bool Largest, class T>
inline bool kw_improves(T value, int64_t at, T other) {
    const bool more = Largest ? other > value : other < value;
    return more || (other != other && value == value) || at == INT64_MAX;
}

// What any number is better than.
template <class T, bool Largest>
constexpr T kw_worst() {
    using limits = std::numeric_limits<T>;
    if (Largest) return limits::has_infinity ? -limits::infinity() : limits::lowest();
    return limits::has_infinity ? limits::infinity() : limits::max();
}

// Copies past the cache: the reader of a large result is not helped by finding its end there, and
// the memory need not be read before it is written. kw_stream_end() makes the copies visible.
typedef float kw_Vector __attribute__((vector_size(
#if defined(__AVX512F__)
    64
#elif defined(__AVX__)
    32
#else
    16
#endif
    )));
template <class T>
inline void kw_stream(T* to, const T* from, int64_t count) {
#if defined(__SSE__)
    char* bytes = reinterpret_cast<char*>(to);
    const char* source = reinterpret_cast<const char*>(from);
    const int64_t size = count * static_cast<int64_t>(sizeof(T)), step = sizeof(kw_Vector);
    int64_t at = std::min<int64_t>(size, -reinterpret_cast<intptr_t>(bytes) & (step - 1));
    std::memcpy(bytes, source, static_cast<std::size_t>(at));
    for (; at + step <= size; at += step) {
        kw_Vector value;
        std::memcpy(&value, source + at, sizeof value);
#if defined(__AVX512F__)
        __builtin_ia32_movntps512(reinterpret_cast<float*>(bytes + at), value);
#elif defined(__AVX__)
        __builtin_ia32_movntps256(reinterpret_cast<float*>(bytes + at), value);
#else
        __builtin_ia32_movntps(reinterpret_cast<float*>(bytes + at), value);
#endif
    }
    std::memcpy(bytes + at, source + at, static_cast<std::size_t>(size - at));
#else
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
#endif
}
inline void kw_stream_end() {
#if defined(__SSE__)
    __builtin_ia32_sfence();
#endif
}

// Asks for the pages behind `size` bytes at `data`, a share for each thread. Memory this large
// comes from the system untouched, and a fault for every page of 4 KiB costs more than this. It is
// a hint: where the system does not know it, the pages come by faults as ever.
inline void kw_populate(void* data, int64_t size) {
#if defined(__linux__)
    constexpr int64_t page = 4096, share = 1 << 20, fresh = 32 << 20;
    constexpr int populate_write = 23; // MADV_POPULATE_WRITE, since Linux 5.14
    if (size < fresh) return;
    const int64_t begin = (reinterpret_cast<intptr_t>(data) + page - 1) & -page;
    const int64_t end = (reinterpret_cast<intptr_t>(data) + size) & -page;
    #pragma omp parallel for schedule(static)
    for (int64_t at = begin; at < end; at += share) {
        const int64_t length = std::min<int64_t>(share, end - at);
        madvise(reinterpret_cast<void*>(at), static_cast<std::size_t>(length), populate_write);
    }
#else
    (void)data, (void)size;
#endif
}
