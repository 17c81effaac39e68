// Each thread slides down a strip of rows of one plane: it keeps three rows of a few columns in
// registers, so that every element comes from memory about once.

#include <cuda_runtime.h>
#include <cstdint>

// rows of a strip
// tunable: STRIP = 8 in {4, 7, 8, 14, 28}
// threads of a block
// tunable: THREADS = 256 in {128, 256, 512}

// A row's elements [first - 1, first + V], with zeros outside of the plane.
template <int V>
__device__ __forceinline__ void load_row(
    const float* plane, int y, int first, int height, int width, float (&row)[V + 2]) {
    if (y < 0 || y >= height) {
#pragma unroll
        for (int i = 0; i < V + 2; ++i) row[i] = 0.0f;
        return;
    }
    const float* at = plane + static_cast<int64_t>(y) * width + first;
    row[0] = first > 0 ? __ldg(at - 1) : 0.0f;
    if constexpr (V == 4) {
        const float4 middle = __ldg(reinterpret_cast<const float4*>(at));
        row[1] = middle.x;
        row[2] = middle.y;
        row[3] = middle.z;
        row[4] = middle.w;
    } else {
        row[1] = __ldg(at);
    }
    row[V + 1] = first + V < width ? __ldg(at + V) : 0.0f;
}

template <int V>
__global__ void __launch_bounds__(THREADS) strips(
    const float* x, const float* weight, const float* bias, float* out, int64_t planes,
    int64_t channels, int height, int width, int groups, int per_plane) {
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

    const int64_t channel = plane % channels;
    float w[9];
#pragma unroll
    for (int i = 0; i < 9; ++i) w[i] = __ldg(weight + channel * 9 + i);
    const float b = __ldg(bias + channel);

    const int64_t begin = plane * height * width;
    x += begin;
    out += begin;
    float rows[3][V + 2];
    load_row<V>(x, top - 1, column, height, width, rows[0]);
    load_row<V>(x, top, column, height, width, rows[1]);
#pragma unroll
    for (int i = 0; i < STRIP; ++i) {
        const int y = top + i;
        load_row<V>(x, y + 1, column, height, width, rows[(i + 2) % 3]);
        if (y >= height) continue;
        float sum[V];
#pragma unroll
        for (int v = 0; v < V; ++v) {
            sum[v] = b;
#pragma unroll
            for (int dy = 0; dy < 3; ++dy)
#pragma unroll
                for (int dx = 0; dx < 3; ++dx)
                    sum[v] = fmaf(rows[(i + dy) % 3][v + dx], w[3 * dy + dx], sum[v]);
        }
        float* to = out + static_cast<int64_t>(y) * width + column;
        if constexpr (V == 4)
            *reinterpret_cast<float4*>(to) = make_float4(sum[0], sum[1], sum[2], sum[3]);
        else
            *to = sum[0];
    }
}

template <int V>
static void start(
    const float* x, const float* weight, const float* bias, float* out, int64_t batch,
    int64_t channels, int64_t height, int64_t width, cudaStream_t stream) {
    const int64_t planes = batch * channels;
    const int groups = static_cast<int>(width / V);
    const int per_plane = groups * static_cast<int>((height + STRIP - 1) / STRIP);
    const int64_t blocks = (planes * per_plane + THREADS - 1) / THREADS;
    strips<V><<<static_cast<unsigned>(blocks), THREADS, 0, stream>>>(
        x, weight, bias, out, planes, channels, static_cast<int>(height),
        static_cast<int>(width), groups, per_plane);
}

// Whether four elements can be moved at once: an address may be that of any element.
static bool aligned(const void* address) {
    return reinterpret_cast<uintptr_t>(address) % sizeof(float4) == 0;
}

extern "C" void launch(
    const float* x,
    const float* conv_weight,
    const float* conv_bias,
    float* out,
    int64_t batch,
    int64_t channels,
    int64_t height,
    int64_t width,
    cudaStream_t stream) {
    if (batch * channels * height * width == 0) return;
    if (width % 4 == 0 && aligned(x) && aligned(out))
        start<4>(x, conv_weight, conv_bias, out, batch, channels, height, width, stream);
    else
        start<1>(x, conv_weight, conv_bias, out, batch, channels, height, width, stream);
}
