__global__ void energy(const float* x, float* out, int64_t dim) {
    __shared__ float part[8];
    const float* row = x + int64_t(blockIdx.x) * dim;
    float sum = 0.0f;
    for (int64_t i = threadIdx.x; i < dim; i += blockDim.x) sum += row[i] * row[i];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int w = 1; w < 8; ++w) sum += part[w];
        out[blockIdx.x] = sum / dim;
    }
}

extern "C" void launch(const float* x, float* out, int64_t rows, int64_t dim, cudaStream_t stream) {
    if (rows > 0) energy<<<unsigned(rows), 256, 0, stream>>>(x, out, dim);
}
