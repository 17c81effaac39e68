"""A few rows times eight-bit float weights: bytes are read once and multiplied as bfloat16.

A float of type e4m3 is a bfloat16 exactly. A float32 is the sum of three bfloat16 to all of its 24
bits, which a small kernel writes first; so three products on tensor cores, summed in float32, have float32's accuracy. The scale of
an output column comes last. The weights are the left operand, which tensor cores take from registers.
"""

import torch
import torch.nn as nn
import triton
import triton.language as tl

# tunable: BLOCK_N = 64 in {64, 128}
BLOCK_N = 64
# tunable: BLOCK_K = 128 in {64, 128, 256}
BLOCK_K = 128
# tunable: SPLITS = 4 in {1, 2, 4, 8}
SPLITS = 4
# tunable: WARPS = 4 in {4, 8}
WARPS = 4
# tunable: STAGES = 4 in {2, 3, 4, 5}
STAGES = 4
# Rows of one program; more rows are further programs.
BLOCK_M = 16
# Elements of a program that splits rows or adds up parts.
BLOCK_SUM = 512


@triton.jit
def split_kernel(x_ptr, xs_ptr, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < count, other=0.0)
    high = x.to(tl.bfloat16)
    rest = x - high.to(tl.float32)
    middle = rest.to(tl.bfloat16)
    low = (rest - middle.to(tl.float32)).to(tl.bfloat16)
    tl.store(xs_ptr + at, high, mask=at < count)
    tl.store(xs_ptr + count + at, middle, mask=at < count)
    tl.store(xs_ptr + 2 * count + at, low, mask=at < count)


@triton.jit
def part_kernel(
    xs_ptr, weight_ptr, scale_ptr, out_ptr, rows, inner, dim, share,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, STAGES: tl.constexpr,
):
    blocks_n = tl.cdiv(dim, BLOCK_N)
    n = tl.program_id(0) % blocks_n * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.program_id(0) // blocks_n * BLOCK_M + tl.arange(0, BLOCK_M)
    part = tl.program_id(1)
    k = tl.arange(0, BLOCK_K)
    # Rows and columns beyond the end read the last one again and are not stored.
    weights = weight_ptr + tl.minimum(n, dim - 1).to(tl.int64)[:, None] * inner
    xs = xs_ptr + tl.minimum(m, rows - 1).to(tl.int64)[None, :] * inner
    x_count = tl.cast(rows, tl.int64) * inner
    begin = part * share
    end = tl.minimum(begin + share, inner)
    total = tl.zeros((BLOCK_N, BLOCK_M), dtype=tl.float32)
    for start in tl.range(begin, end, BLOCK_K, num_stages=STAGES):
        at = start + k
        weight = tl.load(weights + at[None, :], mask=(at < end)[None, :], other=0.0)
        weight = weight.to(tl.float32).to(tl.bfloat16)
        there = (at < end)[:, None]
        high = tl.load(xs + at[:, None], mask=there, other=0.0)
        middle = tl.load(xs + x_count + at[:, None], mask=there, other=0.0)
        low = tl.load(xs + 2 * x_count + at[:, None], mask=there, other=0.0)
        total = tl.dot(weight, low, total)
        total = tl.dot(weight, middle, total)
        total = tl.dot(weight, high, total)
    scale = tl.load(scale_ptr + n, mask=n < dim, other=0.0)
    place = (part * rows + m).to(tl.int64)[None, :] * dim + n[:, None]
    tl.store(out_ptr + place, total * scale[:, None], mask=(n < dim)[:, None] & (m < rows)[None, :])


@triton.jit
def sum_kernel(parts_ptr, out_ptr, count, parts, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    here = parts_ptr + at
    for _ in range(parts):
        total += tl.load(here, mask=at < count, other=0.0)
        here += count
    tl.store(out_ptr + at, total, mask=at < count)


def run(x, weight, scale):
    x, weight, scale = x.contiguous(), weight.contiguous(), scale.contiguous()
    rows, inner = x.shape
    dim = weight.shape[0]
    out = torch.empty((rows, dim), device=x.device, dtype=x.dtype)
    if out.numel() == 0:
        return out
    blocks = max(1, triton.cdiv(inner, BLOCK_K))
    share = triton.cdiv(blocks, min(blocks, SPLITS)) * BLOCK_K
    parts = max(1, triton.cdiv(inner, share))
    whole = out if parts == 1 else torch.empty(
        (parts, rows, dim), device=x.device, dtype=x.dtype
    )
    xs = torch.empty((3, rows, inner), device=x.device, dtype=torch.bfloat16)
    split_kernel[(triton.cdiv(x.numel(), BLOCK_SUM),)](
        x, xs, x.numel(), BLOCK=BLOCK_SUM, num_warps=4
    )
    part_kernel[(triton.cdiv(dim, BLOCK_N) * triton.cdiv(rows, BLOCK_M), parts)](
        xs, weight, scale, whole, rows, inner, dim, share,
        BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K, STAGES=STAGES, num_warps=WARPS,
    )
    if parts > 1:
        count = rows * dim
        sum_kernel[(triton.cdiv(count, BLOCK_SUM),)](
            whole, out, count, parts, BLOCK=BLOCK_SUM, num_warps=4
        )
    return out


class ModelNew(nn.Module):
    def forward(self, x, weight, scale):
        return run(x, weight, scale)
