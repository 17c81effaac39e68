// What every native candidate may use without including anything: the usual headers, the
// narrow floating-point types, and `exp`, `log`, `tanh`, ... that vectorise.
//
// Headers that are slow to compile (<immintrin.h>, <vector>, ...) are added by the build when
// the candidate's text uses them. Nothing here depends on the problem.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

#ifndef __CUDACC__
#include <algorithm>
#include <omp.h>

// glibc has vector versions of these functions, but declares them only under -ffast-math, which
// also makes the whole process flush small numbers to zero. Declaring them here gives loops
// the vector versions and leaves the arithmetic alone. Their error is below 4 units in the last
// place.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define KW_VECTOR_1(name)                                                    \
    _Pragma("omp declare simd notinbranch") double name(double) noexcept;    \
    _Pragma("omp declare simd notinbranch") float name##f(float) noexcept;
#define KW_VECTOR_2(name)                                                           \
    _Pragma("omp declare simd notinbranch") double name(double, double) noexcept;   \
    _Pragma("omp declare simd notinbranch") float name##f(float, float) noexcept;
extern "C" {
KW_VECTOR_1(cos)
KW_VECTOR_1(sin)
KW_VECTOR_1(exp)
KW_VECTOR_1(log)
KW_VECTOR_2(pow)
#if __GLIBC_PREREQ(2, 35)
KW_VECTOR_1(acos)
KW_VECTOR_1(acosh)
KW_VECTOR_1(asin)
KW_VECTOR_1(asinh)
KW_VECTOR_1(atan)
KW_VECTOR_1(atanh)
KW_VECTOR_2(atan2)
KW_VECTOR_1(cbrt)
KW_VECTOR_1(cosh)
KW_VECTOR_1(erf)
KW_VECTOR_1(erfc)
KW_VECTOR_1(exp2)
KW_VECTOR_1(exp10)
KW_VECTOR_1(expm1)
KW_VECTOR_2(hypot)
KW_VECTOR_1(log10)
KW_VECTOR_1(log1p)
KW_VECTOR_1(log2)
KW_VECTOR_1(sinh)
KW_VECTOR_1(tan)
KW_VECTOR_1(tanh)
#endif
}
#undef KW_VECTOR_1
#undef KW_VECTOR_2
#endif

using float16 = _Float16;

// bfloat16 as its 16 bits. Reads and writes convert to and from float; a write rounds to nearest,
// ties to even.
struct bfloat16 {
    uint16_t bits;

    bfloat16() = default;
    bfloat16(float value) {
        uint32_t word;
        std::memcpy(&word, &value, sizeof word);
        const uint32_t rounded = (word + 0x7FFFu + ((word >> 16) & 1u)) >> 16;
        bits = static_cast<uint16_t>(value != value ? 0x7FC0u : rounded);
    }
    operator float() const {
        const uint32_t word = static_cast<uint32_t>(bits) << 16;
        float value;
        std::memcpy(&value, &word, sizeof value);
        return value;
    }
};

// An 8-bit float as its bits. With `FiniteOnly` (e4m3fn) there is no infinity, one NaN pattern,
// and a value too large becomes NaN; without (e5m2) it becomes infinity.
template <int ExponentBits, int MantissaBits, bool FiniteOnly>
struct kw_float8 {
    uint8_t bits;

    static constexpr int bias = (1 << (ExponentBits - 1)) - 1;
    static constexpr int infinity = ((1 << ExponentBits) - 1) << MantissaBits;

    kw_float8() = default;
    kw_float8(float value) {
        const int sign = std::signbit(value) ? 0x80 : 0;
        const float size = std::fabs(value);
        const int overflow = FiniteOnly ? 0x7F : infinity;
        int code;
        if (size != size) {
            code = 0x7F;
        } else if (size > 1e6f) {
            code = overflow;
        } else {
            int exponent;
            std::frexp(size, &exponent);
            // The step between neighbours of `size`: that of its binade, or of the subnormals.
            const int lowest = 1 - bias;
            const int binade = size == 0.0f || exponent - 1 < lowest ? lowest : exponent - 1;
            const float steps = std::nearbyint(std::ldexp(size, MantissaBits - binade));
            code = static_cast<int>(steps) + ((binade - lowest) << MantissaBits);
            code = code > (FiniteOnly ? 0x7E : infinity - 1) ? overflow : code;
        }
        bits = static_cast<uint8_t>(sign | code);
    }
    // No branches, so that loops become vector code. A normal number has its bits moved to where a
    // float has them; a subnormal one is a whole number of the smallest steps.
    operator float() const {
        const uint32_t code = bits & 0x7Fu;
        const uint32_t normal = (code << (23 - MantissaBits)) + (uint32_t(127 - bias) << 23);
        constexpr float step = 1.0f / float(1 << (bias - 1 + MantissaBits));
        float size;
        std::memcpy(&size, &normal, sizeof size);
        size = code < (1u << MantissaBits) ? float(code) * step : size;
        if (!FiniteOnly) size = code == uint32_t(infinity) ? INFINITY : size;
        size = (FiniteOnly ? code == 0x7Fu : code > uint32_t(infinity)) ? NAN : size;
        return bits & 0x80 ? -size : size;
    }
};
using float8_e4m3fn = kw_float8<4, 3, true>;
using float8_e5m2 = kw_float8<5, 2, false>;

#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
using float16 = __half;
using bfloat16 = __nv_bfloat16;
using float8_e4m3fn = __nv_fp8_e4m3;
using float8_e5m2 = __nv_fp8_e5m2;

#endif
