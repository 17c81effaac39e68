// A block sums one row. Each warp takes neighbouring elements, which it scans by shuffles in several
// chunks at once; the warps' totals meet in shared memory, with one barrier for a row of a usual
// length. Longer rows go on with what the piece before them came to.

#include <cuda_runtime.h>
#include <cstdint>

// threads of a block
// tunable: THREADS = 256 in {128, 256, 512}
// groups of four elements of a thread
// tunable: CHUNKS = 4 in {2, 4, 8}

constexpr int WARP = 32;
constexpr int WARPS = THREADS / WARP;
constexpr int CHUNK = 4 * WARP;           // elements that a warp scans at once
constexpr int WARP_PIECE = CHUNKS * CHUNK;  // elements of a warp
constexpr int PIECE = WARPS * WARP_PIECE;  // elements of a block

template <bool ALIGNED>
__device__ __forceinline__ float4 load_quad(const float* x, int64_t at, int64_t dim) {
    if (ALIGNED)  // the row's length divides by four, so that a quad is in it or is not
        return at < dim ? __ldcs(reinterpret_cast<const float4*>(x + at))
                        : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    return make_float4(
        at < dim ? x[at] : 0.0f, at + 1 < dim ? x[at + 1] : 0.0f, at + 2 < dim ? x[at + 2] : 0.0f,
        at + 3 < dim ? x[at + 3] : 0.0f);
}

template <bool ALIGNED>
__device__ __forceinline__ void store_quad(float* out, int64_t at, int64_t dim, float4 v) {
    if (ALIGNED) {
        if (at < dim) *reinterpret_cast<float4*>(out + at) = v;
        return;
    }
    if (at < dim) out[at] = v.x;
    if (at + 1 < dim) out[at + 1] = v.y;
    if (at + 2 < dim) out[at + 2] = v.z;
    if (at + 3 < dim) out[at + 3] = v.w;
}

template <bool ALIGNED>
__global__ void __launch_bounds__(THREADS) scan_rows(const float* x, float* out, int64_t dim) {
    __shared__ float totals[WARPS];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    x += blockIdx.x * dim;
    out += blockIdx.x * dim;
    float carried = 0.0f;
    for (int64_t begin = 0; begin < dim; begin += PIECE) {
        const int64_t first = begin + warp * WARP_PIECE + 4 * lane;
        float4 v[CHUNKS];
#pragma unroll
        for (int c = 0; c < CHUNKS; ++c) v[c] = load_quad<ALIGNED>(x, first + c * CHUNK, dim);

        float sum[CHUNKS];  // of this lane's quad and those of lanes before
#pragma unroll
        for (int c = 0; c < CHUNKS; ++c) {
            v[c].y += v[c].x;
            v[c].z += v[c].y;
            v[c].w += v[c].z;
            sum[c] = v[c].w;
        }
#pragma unroll
        for (int step = 1; step < WARP; step *= 2)
#pragma unroll
            for (int c = 0; c < CHUNKS; ++c) {
                const float before = __shfl_up_sync(0xffffffffu, sum[c], step);
                if (lane >= step) sum[c] += before;
            }
        float ahead[CHUNKS];  // of the warp's elements before this lane's quad
        float total = 0.0f;
#pragma unroll
        for (int c = 0; c < CHUNKS; ++c) {
            const float before = __shfl_up_sync(0xffffffffu, sum[c], 1);
            ahead[c] = total + (lane > 0 ? before : 0.0f);
            total += __shfl_sync(0xffffffffu, sum[c], WARP - 1);
        }

        if (begin > 0) __syncthreads();  // the totals of the piece before are still read
        if (lane == 0) totals[warp] = total;
        __syncthreads();
        float base = carried;
#pragma unroll
        for (int w = 0; w < WARPS; ++w) {
            if (w < warp) base += totals[w];
            carried += totals[w];
        }
#pragma unroll
        for (int c = 0; c < CHUNKS; ++c) {
            const float add = base + ahead[c];
            const float4 to = make_float4(v[c].x + add, v[c].y + add, v[c].z + add, v[c].w + add);
            store_quad<ALIGNED>(out, first + c * CHUNK, dim, to);
        }
    }
}

// Whether four elements can be moved at once: an address may be that of any element.
static bool aligned(const void* address) {
    return reinterpret_cast<uintptr_t>(address) % sizeof(float4) == 0;
}

extern "C" void launch(const float* x, float* out, int64_t rows, int64_t dim, cudaStream_t stream) {
    if (rows * dim == 0) return;
    if (dim % 4 == 0 && aligned(x) && aligned(out))
        scan_rows<true><<<static_cast<unsigned>(rows), THREADS, 0, stream>>>(x, out, dim);
    else
        scan_rows<false><<<static_cast<unsigned>(rows), THREADS, 0, stream>>>(x, out, dim);
}
