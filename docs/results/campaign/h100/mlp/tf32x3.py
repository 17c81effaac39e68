"""A perceptron of two layers on tensor cores.

Float32 operands are split into two TF32 parts each. Three TF32 products (high by high, high by
low, low by high) keep about 22 bits of every operand; sums are kept in float32.
"""

import torch
import torch.nn as nn
import triton
import triton.language as tl

# tunable: BLOCK_M = 128 in {64, 128, 256}
BLOCK_M = 128
# tunable: BLOCK_N = 128 in {64, 128, 256}
BLOCK_N = 128
# tunable: BLOCK_K = 32 in {16, 32, 64}
BLOCK_K = 32
# tunable: WARPS = 8 in {4, 8}
WARPS = 8
# tunable: STAGES = 3 in {2, 3, 4}
STAGES = 3
# Tiles of this many rows of blocks are walked together, so that they share operands in the L2 cache.
GROUP_M = 8


@triton.jit
def gelu_of(x):
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))


@triton.jit
def linear_kernel(
    x_ptr, weight_ptr, bias_ptr, out_ptr, rows, inner, dim,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
    GELU: tl.constexpr,
):
    pid = tl.program_id(0)
    blocks_m = tl.cdiv(rows, BLOCK_M)
    blocks_n = tl.cdiv(dim, BLOCK_N)
    group_size = GROUP_M * blocks_n
    first_m = pid // group_size * GROUP_M
    group_rows = tl.minimum(blocks_m - first_m, GROUP_M)
    block_m = first_m + pid % group_size % group_rows
    block_n = pid % group_size // group_rows

    m = block_m * BLOCK_M + tl.arange(0, BLOCK_M)
    n = block_n * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    # Rows beyond the end read the last one again and are not stored: only `k` needs a mask.
    x_rows = tl.minimum(m, rows - 1).to(tl.int64)
    weight_rows = tl.minimum(n, dim - 1).to(tl.int64)
    x_ptrs = x_ptr + x_rows[:, None] * inner + k[None, :]
    weight_ptrs = weight_ptr + weight_rows[None, :] * inner + k[:, None]
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, inner, BLOCK_K):
        left = inner - start
        x = tl.load(x_ptrs, mask=k[None, :] < left, other=0.0)
        weight = tl.load(weight_ptrs, mask=k[:, None] < left, other=0.0)
        total = tl.dot(x, weight, total, input_precision="tf32x3")
        x_ptrs += BLOCK_K
        weight_ptrs += BLOCK_K

    bias = tl.load(bias_ptr + n, mask=n < dim, other=0.0)
    total += bias[None, :]
    if GELU:
        total = gelu_of(total)
    out_ptrs = out_ptr + m.to(tl.int64)[:, None] * dim + n[None, :]
    tl.store(out_ptrs, total, mask=(m < rows)[:, None] & (n < dim)[None, :])


def linear_layer(x, weight, bias, out, *, with_gelu):
    rows, inner = x.shape
    dim = weight.shape[0]
    blocks = triton.cdiv(rows, BLOCK_M) * triton.cdiv(dim, BLOCK_N)
    if blocks > 0:
        linear_kernel[(blocks,)](
            x, weight, bias, out, rows, inner, dim,
            BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K, GROUP_M=GROUP_M, GELU=with_gelu,
            num_warps=WARPS, num_stages=STAGES,
        )
    return out


def run(x, up_weight, up_bias, down_weight, down_bias):
    x = x.contiguous()
    rows, dim = x.shape
    hidden = up_weight.shape[0]
    middle = torch.empty((rows, hidden), device=x.device, dtype=x.dtype)
    linear_layer(x, up_weight, up_bias, middle, with_gelu=True)
    out = torch.empty((rows, dim), device=x.device, dtype=x.dtype)
    return linear_layer(middle, down_weight, down_bias, out, with_gelu=False)


class ModelNew(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)

    def forward(self, x):
        return run(x, self.up.weight, self.up.bias, self.down.weight, self.down.bias)
