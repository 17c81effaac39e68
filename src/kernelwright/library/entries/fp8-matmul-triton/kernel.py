"""A few rows times eight-bit float weights: bytes are read once and multiplied as float16.

A float of type e4m3 is a float16 exactly, which Hopper has an instruction for. A row
of float32, moved to float16's range by a power of two, is the sum of two float16 to 22 bits, and
more where the row is small: with sums in float32 that is the accuracy of TF32 in three products.
A small kernel splits the rows first. The power of two and the scale of an output column come last.
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
# Elements of a program that adds up parts, and those that are split at once.
BLOCK_SUM = 512
BLOCK_SPLIT = 8192


@triton.jit
def split_kernel(x_ptr, xs_ptr, backs_ptr, rows, inner, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    largest = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, inner, BLOCK):
        x = tl.load(x_ptr + row * inner + start + lane, mask=start + lane < inner, other=0.0)
        largest = tl.maximum(largest, tl.abs(x))
    # The exponent of the largest, by its bits; it is moved to that of 2 ** 14. From 15 on both
    # powers of two are normal numbers.
    exponent = tl.maximum(tl.max(largest, axis=0).to(tl.int32, bitcast=True) >> 23, 15)
    power = ((268 - exponent) << 23).to(tl.float32, bitcast=True)
    tl.store(backs_ptr + row, ((exponent - 14) << 23).to(tl.float32, bitcast=True))
    for start in range(0, inner, BLOCK):
        at = start + lane
        x = tl.load(x_ptr + row * inner + at, mask=at < inner, other=0.0) * power
        high = x.to(tl.float16)
        low = (x - high.to(tl.float32)).to(tl.float16)
        tl.store(xs_ptr + row * inner + at, high, mask=at < inner)
        tl.store(xs_ptr + (rows + row) * inner + at, low, mask=at < inner)


@triton.jit
def part_kernel(
    xs_ptr, backs_ptr, weight_ptr, scale_ptr, out_ptr, rows, inner, dim, share,
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
        weight = weight.to(tl.float16)
        there = (at < end)[:, None]
        high = tl.load(xs + at[:, None], mask=there, other=0.0)
        low = tl.load(xs + x_count + at[:, None], mask=there, other=0.0)
        total = tl.dot(weight, low, total)
        total = tl.dot(weight, high, total)
    back = tl.load(backs_ptr + m, mask=m < rows, other=0.0)
    scale = tl.load(scale_ptr + n, mask=n < dim, other=0.0)
    place = (part * rows + m).to(tl.int64)[None, :] * dim + n[:, None]
    tl.store(out_ptr + place, total * back[None, :] * scale[:, None],
             mask=(n < dim)[:, None] & (m < rows)[None, :])


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
    xs = torch.empty((2, rows, inner), device=x.device, dtype=torch.float16)
    backs = torch.empty((rows,), device=x.device, dtype=x.dtype)
    split_kernel[(rows,)](x, xs, backs, rows, inner, BLOCK=BLOCK_SPLIT, num_warps=16)
    part_kernel[(triton.cdiv(dim, BLOCK_N) * triton.cdiv(rows, BLOCK_M), parts)](
        xs, backs, weight, scale, whole, rows, inner, dim, share,
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
