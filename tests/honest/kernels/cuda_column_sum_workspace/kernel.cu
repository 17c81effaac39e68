__global__ void parts(const float* x, float* part, int64_t rows, int64_t dim) {
    const int64_t column = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (column >= dim) return;
    float sum = 0.0f;
    for (int64_t r = blockIdx.y; r < rows; r += gridDim.y) sum += x[r * dim + column];
    part[blockIdx.y * dim + column] = sum;
}

__global__ void join(const float* part, float* out, int count, int64_t dim) {
    const int64_t column = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (column >= dim) return;
    float sum = 0.0f;
    for (int i = 0; i < count; ++i) sum += part[i * dim + column];
    out[column] = sum;
}

extern "C" void launch(const float* x, float* out, int64_t rows, int64_t dim, cudaStream_t stream) {
    if (dim == 0) return;
    const unsigned blocks = unsigned((dim + 127) / 128);
    float* part = nullptr;
    cudaMallocAsync(&part, size_t(dim) * 16 * 4, stream);
    parts<<<dim3(blocks, 16), 128, 0, stream>>>(x, part, rows, dim);
    join<<<blocks, 128, 0, stream>>>(part, out, 16, dim);
    cudaFreeAsync(part, stream);
}
