// A group is too large for one multiprocessor's shared memory, so that a cluster of blocks holds it:
// each block its part. It is read from memory once, and only three numbers of each block's part are
// exchanged between them.

#include <cooperative_groups.h>
#include <cuda_pipeline.h>
#include <cuda_runtime.h>
#include <cstdint>

namespace cg = cooperative_groups;

// blocks of a cluster
// tunable: BLOCKS = 8 in {4, 8}
// threads of a block
// tunable: THREADS = 256 in {256, 512}

constexpr int NUM_GROUPS = 8;  // of an image, as the program says
constexpr int WARP = 32;
constexpr int WARPS = THREADS / WARP;
constexpr int MOST_SHARED = 200 * 1024;  // bytes that a block may hold
constexpr float EPS = 1e-5f;

// How many numbers, their mean, and the sum of the squares of what they are off it.
struct Moments {
    float count, mean, squares;
};

__device__ __forceinline__ Moments both(Moments a, Moments b) {
    const float count = a.count + b.count;
    if (count == 0.0f) return a;
    const float off = b.mean - a.mean, share = b.count / count;
    return {count, a.mean + off * share, a.squares + b.squares + off * off * a.count * share};
}

// The sum over the block's threads, for all of them.
__device__ __forceinline__ float block_sum(float value, float* scratch) {
#pragma unroll
    for (int step = WARP / 2; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    __syncthreads();  // the scratch may still be read of the sum before
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = value;
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < WARPS; ++i) sum += scratch[i];
    return sum;
}

__global__ void __cluster_dims__(BLOCKS, 1, 1) __launch_bounds__(THREADS) held(
    const float* x, const float* weight, const float* bias, float* out, int group_channels, int channel_quads, int group_quads, int part_quads) {
    extern __shared__ float4 kept[];
    __shared__ float scratch[WARPS];
    __shared__ Moments mine;
    cg::cluster_group cluster = cg::this_cluster();
    const int rank = static_cast<int>(blockIdx.x % BLOCKS);
    const int64_t group = blockIdx.x / BLOCKS;
    const int begin = min(rank * part_quads, group_quads);
    const int quads = min(part_quads, group_quads - begin);
    const float4* from = reinterpret_cast<const float4*>(x) + group * group_quads + begin;

    // A thread sums what it copied itself, and needs to wait for no other one.
    for (int i = threadIdx.x; i < quads; i += THREADS)
        __pipeline_memcpy_async(&kept[i], &from[i], sizeof(float4));
    __pipeline_commit();
    __pipeline_wait_prior(0);
    float sum = 0.0f;
    for (int i = threadIdx.x; i < quads; i += THREADS) {
        const float4 v = kept[i];
        sum += (v.x + v.y) + (v.z + v.w);
    }
    const float count = 4.0f * static_cast<float>(quads);
    const float part_mean = block_sum(sum, scratch) / fmaxf(count, 1.0f);
    float squares = 0.0f;
    for (int i = threadIdx.x; i < quads; i += THREADS) {
        const float4 v = kept[i];
        const float a = v.x - part_mean, b = v.y - part_mean;
        const float c = v.z - part_mean, d = v.w - part_mean;
        squares += (a * a + b * b) + (c * c + d * d);
    }
    squares = block_sum(squares, scratch);
    if (threadIdx.x == 0) mine = {count, part_mean, squares};
    cluster.sync();
    Moments all = *cluster.map_shared_rank(&mine, 0);
#pragma unroll
    for (int i = 1; i < BLOCKS; ++i) all = both(all, *cluster.map_shared_rank(&mine, i));
    // A block's shared memory has to be there until all have read it.
    cluster.barrier_arrive();

    const float scale = rsqrtf(all.squares / all.count + EPS);
    const int first_channel = static_cast<int>(group % NUM_GROUPS) * group_channels;
    float4* to = reinterpret_cast<float4*>(out) + group * group_quads + begin;
    for (int i = threadIdx.x; i < quads; i += THREADS) {
        const int channel = first_channel + (begin + i) / channel_quads;
        const float w = __ldg(weight + channel) * scale, b = __ldg(bias + channel);
        float4 v = kept[i];
        v.x = fmaf(v.x - all.mean, w, b);
        v.y = fmaf(v.y - all.mean, w, b);
        v.z = fmaf(v.z - all.mean, w, b);
        v.w = fmaf(v.w - all.mean, w, b);
        to[i] = v;
    }
    cluster.barrier_wait();
}

// A group of any size and alignment, read three times by one block.
__global__ void __launch_bounds__(THREADS) read_again(
    const float* x, const float* weight, const float* bias, float* out, int group_channels, int64_t channel_size, int64_t group_size) {
    __shared__ float scratch[WARPS];
    const int64_t group = blockIdx.x;
    x += group * group_size;
    out += group * group_size;
    float sum = 0.0f;
    for (int64_t i = threadIdx.x; i < group_size; i += THREADS) sum += x[i];
    const float mean = block_sum(sum, scratch) / static_cast<float>(group_size);
    float squares = 0.0f;
    for (int64_t i = threadIdx.x; i < group_size; i += THREADS)
        squares += (x[i] - mean) * (x[i] - mean);
    squares = block_sum(squares, scratch);
    const float scale = rsqrtf(squares / static_cast<float>(group_size) + EPS);
    const int64_t first_channel = group % NUM_GROUPS * group_channels;
    for (int64_t i = threadIdx.x; i < group_size; i += THREADS) {
        const int64_t channel = first_channel + i / channel_size;
        out[i] = fmaf(x[i] - mean, weight[channel] * scale, bias[channel]);
    }
}

// Whether four elements can be moved at once: an address may be that of any element.
static bool aligned(const void* address) {
    return reinterpret_cast<uintptr_t>(address) % sizeof(float4) == 0;
}

extern "C" void launch(
    const float* x,
    const float* norm_weight,
    const float* norm_bias,
    float* out,
    int64_t batch,
    int64_t channels,
    int64_t height,
    int64_t width,
    cudaStream_t stream) {
    const int64_t channel_size = height * width;
    const int64_t groups = batch * NUM_GROUPS;
    const int64_t group_channels = channels / NUM_GROUPS;
    const int64_t group_size = group_channels * channel_size;
    if (groups * group_size == 0) return;
    const int64_t part_quads = (group_size / 4 + BLOCKS - 1) / BLOCKS;
    const int64_t part_bytes = part_quads * static_cast<int64_t>(sizeof(float4));
    if (channel_size % 4 == 0 && part_bytes <= MOST_SHARED && aligned(x) && aligned(out)) {
        cudaFuncSetAttribute(
            held, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(part_bytes));
        held<<<static_cast<unsigned>(groups * BLOCKS), THREADS, part_bytes, stream>>>(
            x, norm_weight, norm_bias, out, static_cast<int>(group_channels), static_cast<int>(channel_size / 4),
            static_cast<int>(group_size / 4), static_cast<int>(part_quads));
    } else {
        read_again<<<static_cast<unsigned>(groups), THREADS, 0, stream>>>(
            x, norm_weight, norm_bias, out, static_cast<int>(group_channels), channel_size, group_size);
    }
}
