"""A batch of products with few rows in plain float32: each element of a right side meets all rows.

A program walks down a strip of a right side with a few of its lines at a time. Each of these lanes
of lines sums up for itself, and the lanes are joined at the end, so that the loop exchanges nothing.
"""

import torch
import torch.nn as nn
import triton
import triton.language as tl

# tunable: BLOCK_N = 128 in {64, 128, 256}
BLOCK_N = 128
# tunable: BLOCK_K = 8 in {4, 8, 16}
BLOCK_K = 8
# tunable: WARPS = 4 in {2, 4, 8}
WARPS = 4
# tunable: STAGES = 4 in {1, 3, 4, 6}
STAGES = 4
# Rows of one program; more rows are further programs.
BLOCK_M = 8


@triton.jit
def skinny_kernel(
    a_ptr, b_ptr, out_ptr, rows, inner, dim, row_blocks,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, STAGES: tl.constexpr,
):
    blocks_n = tl.cdiv(dim, BLOCK_N)
    n = tl.program_id(0) % blocks_n * BLOCK_N + tl.arange(0, BLOCK_N)
    product = tl.program_id(0) // blocks_n
    member = (product // row_blocks).to(tl.int64)
    m = product % row_blocks * BLOCK_M + tl.arange(0, BLOCK_M)
    k = tl.arange(0, BLOCK_K)
    lefts = a_ptr + (member * rows + m)[:, None] * inner
    rights = b_ptr + member * inner * dim + n[None, :]
    sums = tl.zeros((BLOCK_M, BLOCK_K, BLOCK_N), dtype=tl.float32)
    for start in tl.range(0, inner, BLOCK_K, num_stages=STAGES):
        at = start + k
        a = tl.load(lefts + at[None, :], mask=(m < rows)[:, None] & (at < inner)[None, :],
                    other=0.0)
        b = tl.load(rights + at.to(tl.int64)[:, None] * dim,
                    mask=(at < inner)[:, None] & (n < dim)[None, :], other=0.0)
        sums += a[:, :, None] * b[None, :, :]
    tl.store(out_ptr + (member * rows + m)[:, None] * dim + n[None, :], tl.sum(sums, axis=1),
             mask=(m < rows)[:, None] & (n < dim)[None, :])


def run(a, b):
    a, b = a.contiguous(), b.contiguous()
    batch, rows, inner = a.shape
    dim = b.shape[2]
    out = torch.empty((batch, rows, dim), device=a.device, dtype=a.dtype)
    if out.numel() == 0:
        return out
    row_blocks = triton.cdiv(rows, BLOCK_M)
    skinny_kernel[(triton.cdiv(dim, BLOCK_N) * batch * row_blocks,)](
        a, b, out, rows, inner, dim, row_blocks,
        BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K, STAGES=STAGES, num_warps=WARPS,
    )
    return out


class ModelNew(nn.Module):
    def forward(self, a, b):
        return run(a, b)
