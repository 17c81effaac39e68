"""A batch of matrix products on tensor cores.

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
def tile_of(pid, blocks_m, blocks_n, GROUP_M: tl.constexpr):
    """The row and the column of the block that program `pid` makes."""
    group_size = GROUP_M * blocks_n
    first_m = pid // group_size * GROUP_M
    group_rows = tl.minimum(blocks_m - first_m, GROUP_M)
    return first_m + pid % group_size % group_rows, pid % group_size // group_rows


@triton.jit
def bmm_kernel(
    a_ptr, b_ptr, out_ptr, rows, inner, dim,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):
    blocks_m = tl.cdiv(rows, BLOCK_M)
    blocks_n = tl.cdiv(dim, BLOCK_N)
    block_m, block_n = tile_of(tl.program_id(0), blocks_m, blocks_n, GROUP_M)
    batch = tl.program_id(1).to(tl.int64)
    a_ptr += batch * rows * inner
    b_ptr += batch * inner * dim
    out_ptr += batch * rows * dim
    m = block_m * BLOCK_M + tl.arange(0, BLOCK_M)
    n = block_n * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    a_ptrs = a_ptr + m.to(tl.int64)[:, None] * inner + k[None, :]
    b_ptrs = b_ptr + k.to(tl.int64)[:, None] * dim + n[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, inner, BLOCK_K):
        left = inner - start
        a = tl.load(a_ptrs, mask=(m < rows)[:, None] & (k < left)[None, :], other=0.0)
        b = tl.load(b_ptrs, mask=(k < left)[:, None] & (n < dim)[None, :], other=0.0)
        total = tl.dot(a, b, total, input_precision="tf32x3")
        a_ptrs += BLOCK_K
        b_ptrs += BLOCK_K * dim
    out_ptrs = out_ptr + m.to(tl.int64)[:, None] * dim + n[None, :]
    tl.store(out_ptrs, total, mask=(m < rows)[:, None] & (n < dim)[None, :])


def run(a, b):
    a, b = a.contiguous(), b.contiguous()
    batch, rows, inner = a.shape
    dim = b.shape[2]
    out = torch.empty((batch, rows, dim), device=a.device, dtype=a.dtype)
    blocks = triton.cdiv(rows, BLOCK_M) * triton.cdiv(dim, BLOCK_N)
    if blocks * batch == 0:
        return out
    bmm_kernel[(blocks, batch)](
        a, b, out, rows, inner, dim,
        BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K, GROUP_M=GROUP_M,
        num_warps=WARPS, num_stages=STAGES,
    )
    return out


class ModelNew(nn.Module):
    def forward(self, a, b):
        return run(a, b)
