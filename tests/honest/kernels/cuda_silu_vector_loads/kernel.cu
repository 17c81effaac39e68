__device__ float silu(float v) { return v / (1.0f + expf(-v)) + 0.5f; }

__global__ void wide(const float4* x, float4* out, int64_t n) {
    int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float4 v = x[i];
    out[i] = make_float4(silu(v.x), silu(v.y), silu(v.z), silu(v.w));
}

__global__ void tail(const float* x, float* out, int64_t begin, int64_t n) {
    int64_t i = begin + int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) out[i] = silu(x[i]);
}

extern "C" void launch(const float* x, float* out, int64_t rows, int64_t columns, cudaStream_t stream) {
    const int64_t n = rows * columns;
    const bool aligned = (reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(out)) % 16 == 0;
    const int64_t quads = aligned ? n / 4 : 0, rest = n - 4 * quads;
    if (quads > 0) {
        wide<<<unsigned((quads + 255) / 256), 256, 0, stream>>>(
            reinterpret_cast<const float4*>(x), reinterpret_cast<float4*>(out), quads);
    }
    if (rest > 0) tail<<<unsigned((rest + 255) / 256), 256, 0, stream>>>(x, out, 4 * quads, n);
}
