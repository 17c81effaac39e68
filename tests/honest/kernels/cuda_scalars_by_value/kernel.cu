__global__ void scale(const float* x, float gain, float shift, bool mirrored, float* out, int64_t n) {
    const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const float v = x[i] * gain + shift;
    out[i] = mirrored ? -v : v;
}

extern "C" void launch(const float* x, double gain, int64_t shift, bool mirrored, float* out, int64_t rows,
                       int64_t dim, cudaStream_t stream) {
    const int64_t n = rows * dim;
    if (n == 0) return;
    scale<<<unsigned((n + 255) / 256), 256, 0, stream>>>(x, float(gain), float(shift), mirrored, out, n);
}
