// Each thread slides down a strip of one plane. Of every row of the input it keeps what the windows
// of its columns make of it, so that every element comes from memory about once.

#include <cuda_runtime.h>
#include <cstdint>

// rows of the output in a strip
// tunable: STRIP = 4 in {2, 4, 7, 8, 14}
// threads of a block
// tunable: THREADS = 256 in {128, 256, 512}

#define OUTSIDE 0.0f  // adds nothing, and is not counted

__device__ __forceinline__ float together(float a, float b) { return a + b; }

// How many of the three places from 2 * i - 1 on are inside.
__device__ __forceinline__ int inside(int i, int size) {
    return 1 + (i > 0) + (2 * i + 1 < size);
}

// What each of V neighbouring windows makes of one row: of three elements from 2 * first - 1 on.
template <int V>
__device__ __forceinline__ void load_row(
    const float* plane, int y, int first, int height, int width, float (&made)[V]) {
    if (y < 0 || y >= height) {
#pragma unroll
        for (int v = 0; v < V; ++v) made[v] = OUTSIDE;
        return;
    }
    const int begin = 2 * first;
    const float* at = plane + static_cast<int64_t>(y) * width + begin;
    const float left = begin > 0 ? __ldg(at - 1) : OUTSIDE;
    if constexpr (V == 2) {
        const float4 x = __ldg(reinterpret_cast<const float4*>(at));
        made[0] = together(together(left, x.x), x.y);
        made[1] = together(together(x.y, x.z), x.w);
    } else {
        const float right = begin + 1 < width ? __ldg(at + 1) : OUTSIDE;
        made[0] = together(together(left, __ldg(at)), right);
    }
}

template <int V>
__global__ void __launch_bounds__(THREADS) strips(
    const float* x, float* out, int64_t planes, int height, int width, int out_height,
    int out_width, int groups, int per_plane) {
    // One long division for a block; what is left of it for a thread fits into 32 bits.
    const int64_t first_of_block = static_cast<int64_t>(blockIdx.x) * THREADS;
    const int64_t first_plane = first_of_block / per_plane;
    const unsigned ahead =
        static_cast<unsigned>(first_of_block - first_plane * per_plane) + threadIdx.x;
    const unsigned planes_ahead = ahead / static_cast<unsigned>(per_plane);
    const int64_t plane = first_plane + planes_ahead;
    if (plane >= planes) return;
    const int place = static_cast<int>(ahead - planes_ahead * per_plane);
    const int strip = place / groups;
    const int column = (place - strip * groups) * V;
    const int top = strip * STRIP;

    x += plane * height * width;
    out += plane * out_height * out_width;
    float above[V], middle[V], below[V];
    load_row<V>(x, 2 * top - 1, column, height, width, above);
#pragma unroll
    for (int i = 0; i < STRIP; ++i) {
        const int y = top + i;
        load_row<V>(x, 2 * y, column, height, width, middle);
        load_row<V>(x, 2 * y + 1, column, height, width, below);
        float result[V];
#pragma unroll
        for (int v = 0; v < V; ++v) {
            result[v] = together(together(above[v], middle[v]), below[v]);
            above[v] = below[v];
            result[v] /= static_cast<float>(inside(y, height) * inside(column + v, width));
        }
        if (y >= out_height) continue;
        float* to = out + static_cast<int64_t>(y) * out_width + column;
        if constexpr (V == 2)
            *reinterpret_cast<float2*>(to) = make_float2(result[0], result[1]);
        else
            *to = result[0];
    }
}

template <int V>
static void start(
    const float* x, float* out, int64_t planes, int64_t height, int64_t width, int64_t out_height,
    int64_t out_width, cudaStream_t stream) {
    const int groups = static_cast<int>(out_width / V);
    const int per_plane = groups * static_cast<int>((out_height + STRIP - 1) / STRIP);
    const int64_t blocks = (planes * per_plane + THREADS - 1) / THREADS;
    strips<V><<<static_cast<unsigned>(blocks), THREADS, 0, stream>>>(
        x, out, planes, static_cast<int>(height), static_cast<int>(width),
        static_cast<int>(out_height), static_cast<int>(out_width), groups, per_plane);
}

// Whether four elements can be moved at once: an address may be that of any element.
static bool aligned(const void* address) {
    return reinterpret_cast<uintptr_t>(address) % sizeof(float4) == 0;
}

extern "C" void launch(
    const float* x,
    float* out,
    int64_t batch,
    int64_t channels,
    int64_t height,
    int64_t width,
    int64_t n0,
    int64_t n1,
    cudaStream_t stream) {
    const int64_t planes = batch * channels;
    if (planes * n0 * n1 == 0) return;
    // Four elements at once are two windows, and start at a multiple of 16 bytes in every row.
    if (width % 4 == 0 && aligned(x) && aligned(out))
        start<2>(x, out, planes, height, width, n0, n1, stream);
    else
        start<1>(x, out, planes, height, width, n0, n1, stream);
}
