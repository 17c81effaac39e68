// A linear layer on a few rows: bound by reading the weights once. Plain float32 arithmetic.
//
// A warp keeps 16 by 4 sums (rows of x by rows of the weights). Its weights go from device memory
// straight to registers, the next ones while these are used; x is shared by the whole block, in chunks
// of the inner dimension that are copied while the one before is used. Four rows of weights for each
// value of x that is read keep shared memory from being what limits.

// tunable: WARPS = 16 in {8, 16}
// tunable: CHUNK = 512 in {256, 512}
constexpr int LANES = 32;
constexpr int X_ROWS = 16;      // rows of x that a block takes
constexpr int WEIGHT_ROWS = 4;  // rows of the weights that a warp takes
constexpr int VECTOR = 4;       // floats of one load
constexpr int STRIDE = LANES * VECTOR;  // floats of a row that a warp loads at once
constexpr int SUMS = X_ROWS * WEIGHT_ROWS;
constexpr int ROUNDS = 5;                // halvings of a warp
constexpr int THREADS = WARPS * LANES;
// Two blocks of 8 warps, or one of 16, fill a multiprocessor's registers.
constexpr int BLOCKS = 16 / WARPS;
constexpr int SHARED_BYTES = 2 * X_ROWS * CHUNK * static_cast<int>(sizeof(float));

// Four floats of a row from `k` on, zeros beyond its end. WHOLE: the four are all inside or all
// outside, and their address is aligned.
template <bool WHOLE>
__device__ float4 load_four(const float* row, int64_t k, int64_t inner) {
    float4 four = make_float4(0.f, 0.f, 0.f, 0.f);
    if (WHOLE) {
        if (k < inner) four = __ldcs(reinterpret_cast<const float4*>(row + k));
    } else {
        if (k < inner) four.x = row[k];
        if (k + 1 < inner) four.y = row[k + 1];
        if (k + 2 < inner) four.z = row[k + 2];
        if (k + 3 < inner) four.w = row[k + 3];
    }
    return four;
}

// Begin to copy a chunk of x, from column `first` on, to shared memory.
template <bool WHOLE>
__device__ void copy_chunk(
    const float* x, float* chunk, int64_t first_row, int64_t rows, int64_t first, int64_t inner) {
    for (int i = threadIdx.x * VECTOR; i < X_ROWS * CHUNK; i += THREADS * VECTOR) {
        const int64_t row = first_row + i / CHUNK;
        const int64_t k = first + i % CHUNK;
        const bool inside = row < rows && k < inner;
        if (WHOLE) {
            const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(chunk + i));
            const float* from = inside ? x + row * inner + k : x;
            // A source size of 0 reads nothing and writes zeros.
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
                         "r"(inside ? 16 : 0)
                         : "memory");
        } else {
            const float4 four = inside ? load_four<false>(x + row * inner, k, inner)
                                       : make_float4(0.f, 0.f, 0.f, 0.f);
            *reinterpret_cast<float4*>(chunk + i) = four;
        }
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <bool WHOLE>
__global__ void __launch_bounds__(THREADS, BLOCKS) skinny(
    const float* __restrict__ x, const float* __restrict__ weight, float* __restrict__ out,
    int64_t rows, int64_t inner, int64_t dim) {
    extern __shared__ float4 shared[];
    float* chunks = reinterpret_cast<float*>(shared);
    const int lane = threadIdx.x % LANES;
    const int64_t first_row = static_cast<int64_t>(blockIdx.y) * X_ROWS;
    const int64_t first_column =
        (static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.x / LANES) * WEIGHT_ROWS;

    // Rows beyond the end read the last one again; their sums are not stored.
    const float* weights[WEIGHT_ROWS];
#pragma unroll
    for (int j = 0; j < WEIGHT_ROWS; ++j) {
        const int64_t row = first_column + j < dim ? first_column + j : dim - 1;
        weights[j] = weight + row * inner;
    }
    float sums[SUMS];
#pragma unroll
    for (int i = 0; i < SUMS; ++i) sums[i] = 0.f;

    int64_t k = lane * VECTOR;
    float4 next[WEIGHT_ROWS];
#pragma unroll
    for (int j = 0; j < WEIGHT_ROWS; ++j) next[j] = load_four<WHOLE>(weights[j], k, inner);
    copy_chunk<WHOLE>(x, chunks, first_row, rows, 0, inner);

    const int64_t chunk_count = (inner + CHUNK - 1) / CHUNK;
    for (int64_t c = 0; c < chunk_count; ++c) {
        // This chunk has arrived for all, and all are done with the one that is overwritten.
        asm volatile("cp.async.wait_group 0;" ::: "memory");
        __syncthreads();
        if (c + 1 < chunk_count) {
            float* other = chunks + (c + 1) % 2 * (X_ROWS * CHUNK);
            copy_chunk<WHOLE>(x, other, first_row, rows, (c + 1) * CHUNK, inner);
        }
        const float* mine = chunks + c % 2 * (X_ROWS * CHUNK) + lane * VECTOR;
#pragma unroll 1
        for (int step = 0; step < CHUNK; step += STRIDE) {
            float4 now[WEIGHT_ROWS];
            k += STRIDE;
#pragma unroll
            for (int j = 0; j < WEIGHT_ROWS; ++j) {
                now[j] = next[j];
                next[j] = load_four<WHOLE>(weights[j], k, inner);
            }
#pragma unroll
            for (int r = 0; r < X_ROWS; ++r) {
                const float4 v = *reinterpret_cast<const float4*>(mine + r * CHUNK + step);
#pragma unroll
                for (int j = 0; j < WEIGHT_ROWS; ++j) {
                    float sum = sums[r * WEIGHT_ROWS + j];
                    sum = fmaf(v.x, now[j].x, sum);
                    sum = fmaf(v.y, now[j].y, sum);
                    sum = fmaf(v.z, now[j].z, sum);
                    sums[r * WEIGHT_ROWS + j] = fmaf(v.w, now[j].w, sum);
                }
            }
        }
    }

    // Add up over the lanes. In each round a lane gives away half of its sums and keeps the other
    // half, so that in the end lane l has sums 2 l and 2 l + 1.
#pragma unroll
    for (int round = 0; round < ROUNDS; ++round) {
        const int half = SUMS / 2 >> round;
        const int apart = LANES / 2 >> round;
        const bool upper = (lane & apart) != 0;
#pragma unroll
        for (int i = 0; i < SUMS / 2; ++i) {
            if (i >= half) break;
            const float given = upper ? sums[i] : sums[i + half];
            const float kept = upper ? sums[i + half] : sums[i];
            sums[i] = kept + __shfl_xor_sync(0xffffffffu, given, apart);
        }
    }
#pragma unroll
    for (int i = 0; i < SUMS / LANES; ++i) {
        const int at = lane * (SUMS / LANES) + i;
        const int64_t row = first_row + at / WEIGHT_ROWS;
        const int64_t column = first_column + at % WEIGHT_ROWS;
        if (row < rows && column < dim) out[row * dim + column] = sums[i];
    }
}

template <bool WHOLE>
void start(const float* x, const float* weight, float* out, int64_t rows, int64_t inner, int64_t dim,
           cudaStream_t stream) {
    const int64_t columns = WARPS * WEIGHT_ROWS;
    const dim3 blocks(static_cast<unsigned>((dim + columns - 1) / columns),
                      static_cast<unsigned>((rows + X_ROWS - 1) / X_ROWS));
    cudaFuncSetAttribute(
        skinny<WHOLE>, cudaFuncAttributeMaxDynamicSharedMemorySize, SHARED_BYTES);
    skinny<WHOLE><<<blocks, THREADS, SHARED_BYTES, stream>>>(x, weight, out, rows, inner, dim);
}

extern "C" void launch(
    const float* x,
    const float* linear_weight,
    float* out,
    int64_t rows,
    int64_t inner,
    int64_t dim,
    cudaStream_t stream) {
    if (rows == 0 || dim == 0) return;
    const uintptr_t places =
        reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(linear_weight);
    if (places % (VECTOR * sizeof(float)) == 0 && inner % VECTOR == 0) {
        start<true>(x, linear_weight, out, rows, inner, dim, stream);
    } else {
        start<false>(x, linear_weight, out, rows, inner, dim, stream);
    }
}
