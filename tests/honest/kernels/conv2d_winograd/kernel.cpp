#include <vector>

// Y = A' [ (G g G') * (B' d B) ] A for tiles of 2x2 outputs; double keeps its extra roundings out.
static void transform_weights(const float* g, double* u) {
    double half[4][3];
    for (int j = 0; j < 3; ++j) {
        const double a = g[j], b = g[3 + j], c = g[6 + j];
        half[0][j] = a, half[1][j] = (a + b + c) / 2, half[2][j] = (a - b + c) / 2, half[3][j] = c;
    }
    for (int i = 0; i < 4; ++i) {
        const double a = half[i][0], b = half[i][1], c = half[i][2];
        u[4 * i] = a, u[4 * i + 1] = (a + b + c) / 2, u[4 * i + 2] = (a - b + c) / 2, u[4 * i + 3] = c;
    }
}

static void transform_input(const double d[4][4], double* v) {
    double half[4][4];
    for (int j = 0; j < 4; ++j) {
        half[0][j] = d[0][j] - d[2][j], half[1][j] = d[1][j] + d[2][j];
        half[2][j] = d[2][j] - d[1][j], half[3][j] = d[1][j] - d[3][j];
    }
    for (int i = 0; i < 4; ++i) {
        const double* h = half[i];
        v[4 * i] = h[0] - h[2], v[4 * i + 1] = h[1] + h[2];
        v[4 * i + 2] = h[2] - h[1], v[4 * i + 3] = h[1] - h[3];
    }
}

extern "C" void kernel(const float* x, const float* weight, const float* bias, float* out, int64_t batch,
                       int64_t in_channels, int64_t height, int64_t width, int64_t out_channels) {
    std::vector<double> weights(out_channels * in_channels * 16);
    for (int64_t k = 0; k < out_channels * in_channels; ++k) transform_weights(weight + 9 * k, &weights[16 * k]);
    const int64_t down = (height + 1) / 2, across = (width + 1) / 2;
    #pragma omp parallel
    {
        std::vector<double> tiles(in_channels * 16);
        #pragma omp for collapse(3) schedule(dynamic, 4)
        for (int64_t b = 0; b < batch; ++b) {
            for (int64_t ty = 0; ty < down; ++ty) {
                for (int64_t tx = 0; tx < across; ++tx) {
                    for (int64_t c = 0; c < in_channels; ++c) {
                        double d[4][4];
                        for (int i = 0; i < 4; ++i)
                            for (int j = 0; j < 4; ++j) {
                                const int64_t y = 2 * ty + i - 1, z = 2 * tx + j - 1;
                                const bool inside = y >= 0 && y < height && z >= 0 && z < width;
                                d[i][j] = inside ? x[((b * in_channels + c) * height + y) * width + z] : 0.0;
                            }
                        transform_input(d, &tiles[16 * c]);
                    }
                    for (int64_t o = 0; o < out_channels; ++o) {
                        double m[16] = {};
                        for (int64_t c = 0; c < in_channels; ++c)
                            for (int e = 0; e < 16; ++e)
                                m[e] += weights[(o * in_channels + c) * 16 + e] * tiles[16 * c + e];
                        double half[2][4];
                        for (int j = 0; j < 4; ++j) {
                            half[0][j] = m[j] + m[4 + j] + m[8 + j];
                            half[1][j] = m[4 + j] - m[8 + j] - m[12 + j];
                        }
                        for (int i = 0; i < 2; ++i)
                            for (int j = 0; j < 2; ++j) {
                                const int64_t y = 2 * ty + i, z = 2 * tx + j;
                                if (y >= height || z >= width) continue;
                                const double* h = half[i];
                                const double sum = j == 0 ? h[0] + h[1] + h[2] : h[1] - h[2] - h[3];
                                out[((b * out_channels + o) * height + y) * width + z] =
                                    std::max(static_cast<float>(sum + bias[o]), 0.0f);
                            }
                    }
                }
            }
        }
    }
}
