// Eight lanes share a token: each finds the two best of its own experts as it reads them, and three
// shuffles bring the lanes' pairs together. The softmax's sum is in both shares and falls out.

#include <cuda_runtime.h>
#include <climits>
#include <cmath>
#include <cstdint>

// threads of a block
// tunable: THREADS = 256 in {128, 256, 512}
// lanes that share a token
// tunable: LANES = 8 in {4, 8, 16}

constexpr int QUADS = 4;  // groups of four logits that a lane asks for at once

struct Best {
    float first, second;
    int first_at, second_at;
};

// The first of equals is better.
__device__ __forceinline__ bool better(float a, int a_at, float b, int b_at) {
    return a > b || (a == b && a_at < b_at);
}

// Experts come in ascending order, so that an equal one is no better.
__device__ __forceinline__ void take(Best& best, float value, int at) {
    if (value > best.first) {
        best.second = best.first;
        best.second_at = best.first_at;
        best.first = value;
        best.first_at = at;
    } else if (value > best.second) {
        best.second = value;
        best.second_at = at;
    }
}

__device__ __forceinline__ Best together(Best a, Best b) {
    const bool swap = better(b.first, b.first_at, a.first, a.first_at);
    const Best high = swap ? b : a, low = swap ? a : b;
    const bool kept = better(high.second, high.second_at, low.first, low.first_at);
    return {
        high.first, kept ? high.second : low.first, high.first_at,
        kept ? high.second_at : low.first_at};
}

// With ALIGNED tokens start at multiples of 16 bytes, and so do the results.
template <bool ALIGNED>
__global__ void __launch_bounds__(THREADS) route(
    const float* logits, float* shares, int64_t* chosen, int64_t tokens, int experts) {
    const int lane = threadIdx.x % LANES;
    const int64_t token = (blockIdx.x * static_cast<int64_t>(THREADS) + threadIdx.x) / LANES;
    const bool there = token < tokens;  // all lanes stay for the shuffles
    const float* row = logits + (there ? token : 0) * experts;
    Best best = {-INFINITY, -INFINITY, INT_MAX, INT_MAX};
    if (ALIGNED) {
        for (int begin = 4 * lane; begin < experts; begin += QUADS * 4 * LANES) {
            float4 v[QUADS];
#pragma unroll
            for (int q = 0; q < QUADS; ++q) {
                const int at = begin + q * 4 * LANES;
                v[q] = at < experts ? __ldcs(reinterpret_cast<const float4*>(row + at))
                                    : make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);
            }
#pragma unroll
            for (int q = 0; q < QUADS; ++q) {
                const int at = begin + q * 4 * LANES;
                take(best, v[q].x, at);
                take(best, v[q].y, at + 1);
                take(best, v[q].z, at + 2);
                take(best, v[q].w, at + 3);
            }
        }
    } else {
        for (int at = lane; at < experts; at += LANES) take(best, row[at], at);
    }
#pragma unroll
    for (int step = LANES / 2; step > 0; step /= 2) {
        Best other;
        other.first = __shfl_xor_sync(0xffffffffu, best.first, step);
        other.second = __shfl_xor_sync(0xffffffffu, best.second, step);
        other.first_at = __shfl_xor_sync(0xffffffffu, best.first_at, step);
        other.second_at = __shfl_xor_sync(0xffffffffu, best.second_at, step);
        best = together(best, other);
    }
    if (!there || lane != 0) return;
    // Where nothing but -inf is left, the program finds it at the first place.
    const int first_at = best.first == -INFINITY ? 0 : best.first_at;
    const int second_at = best.second == -INFINITY ? 0 : best.second_at;
    const float ratio = expf(best.second - best.first);
    const float share = 1.0f / (1.0f + ratio);
    if (ALIGNED) {
        reinterpret_cast<float2*>(shares)[token] = make_float2(share, ratio * share);
        reinterpret_cast<longlong2*>(chosen)[token] = make_longlong2(first_at, second_at);
    } else {
        shares[2 * token] = share;
        shares[2 * token + 1] = ratio * share;
        chosen[2 * token] = first_at;
        chosen[2 * token + 1] = second_at;
    }
}

// Whether four elements can be moved at once: an address may be that of any element.
static bool aligned(const void* address) {
    return reinterpret_cast<uintptr_t>(address) % sizeof(float4) == 0;
}

extern "C" void launch(
    const float* logits,
    float* out0,
    int64_t* out1,
    int64_t tokens,
    int64_t experts,
    cudaStream_t stream) {
    if (tokens == 0) return;
    const unsigned blocks = static_cast<unsigned>((tokens * LANES + THREADS - 1) / THREADS);
    if (experts % 4 == 0 && aligned(logits) && aligned(out0) && aligned(out1))
        route<true><<<blocks, THREADS, 0, stream>>>(
            logits, out0, out1, tokens, static_cast<int>(experts));
    else
        route<false><<<blocks, THREADS, 0, stream>>>(
            logits, out0, out1, tokens, static_cast<int>(experts));
}
