"""Causal attention in which several query heads share one head of keys and values, on bfloat16 tensor cores at float32's accuracy.

The softmax is kept online: a running maximum and a running sum for each query. Every float32 is the sum of
three bfloat16 pieces of 8 bits each. A first kernel writes the pieces of queries, keys and values, padded
with zeros to whole tiles. The products of pieces whose size matters to float32 are six (the three left out
are below 2^-24 of the whole). Tensor cores cut the ends off where they add, so sums
over one tile of keys are added to the whole in float32, rounded.
"""

import math

import torch
import torch.nn as nn
import triton
import triton.language as tl

# tunable: BLOCK_M = 128 in {64, 128}
BLOCK_M = 128
# tunable: BLOCK_N = 64 in {32, 64, 128}
BLOCK_N = 64
# tunable: WARPS = 8 in {4, 8}
WARPS = 8
# tunable: STAGES = 2 in {1, 2, 3}
STAGES = 2
# Queries and keys are padded to a multiple of this: of every tile's side.
PAD = 128
# Longer heads than USUAL_HEAD have square tiles of LONG_BLOCK and 4 warps: they need less memory.
USUAL_HEAD = 64
LONG_BLOCK = 32
SPLIT_ROWS = 16
# Exponentials are taken to base 2, which is what the hardware has.
LOG2_E = 1.4426950408889634


@triton.jit
def pieces_of(x):
    """Three bfloat16 whose sum is `x` to 24 bits. The differences are exact."""
    high = x.to(tl.bfloat16)
    rest = x - high.to(tl.float32)
    middle = rest.to(tl.bfloat16)
    low = (rest - middle.to(tl.float32)).to(tl.bfloat16)
    return high, middle, low


@triton.jit
def split_kernel(
    x_ptr, out_ptr, rows, columns, padded_rows, plane, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):
    """The pieces of each head times `scale`, in planes one after another."""
    head = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    x = tl.load(
        x_ptr + (head * rows + row)[:, None] * columns + column[None, :], mask=inside, other=0.0
    )
    high, middle, low = pieces_of(x * scale)
    outs = out_ptr + (head * padded_rows + row)[:, None] * COLUMNS + column[None, :]
    step = plane.to(tl.int64)
    tl.store(outs, high)
    tl.store(outs + step, middle)
    tl.store(outs + 2 * step, low)


@triton.jit
def attend(
    q_high, q_middle, q_low, k_ptr, v_ptr, step, total, peak, sum_, m, first, last, keys, steepness,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):
    """Take the keys from `first` to `last` into the sums; where `MASKED`, some are not seen."""
    d = tl.arange(0, BLOCK_D)
    for start in range(first, last, BLOCK_N):
        n = start + tl.arange(0, BLOCK_N)
        k_ptrs = k_ptr + n.to(tl.int64)[None, :] * BLOCK_D + d[:, None]
        k_high = tl.load(k_ptrs)
        k_middle = tl.load(k_ptrs + step)
        k_low = tl.load(k_ptrs + 2 * step)
        scores = tl.dot(q_low, k_high)
        scores = tl.dot(q_high, k_low, scores)
        scores = tl.dot(q_middle, k_middle, scores)
        scores = tl.dot(q_middle, k_high, scores)
        scores = tl.dot(q_high, k_middle, scores)
        scores = tl.dot(q_high, k_high, scores)
        if MASKED:
            seen = (n < keys)[None, :]
            if CAUSAL:
                seen &= n[None, :] <= m[:, None]
            scores = tl.where(seen, scores, -float("inf"))
        new_peak = tl.maximum(peak, tl.max(scores, 1))
        shares = tl.exp2((scores - new_peak[:, None]) * steepness)
        fade = tl.exp2((peak - new_peak) * steepness)
        sum_ = sum_ * fade + tl.sum(shares, 1)
        peak = new_peak
        p_high, p_middle, p_low = pieces_of(shares)
        v_ptrs = v_ptr + n.to(tl.int64)[:, None] * BLOCK_D + d[None, :]
        v_high = tl.load(v_ptrs)
        v_middle = tl.load(v_ptrs + step)
        v_low = tl.load(v_ptrs + 2 * step)
        part = tl.dot(p_low, v_high)
        part = tl.dot(p_high, v_low, part)
        part = tl.dot(p_middle, v_middle, part)
        part = tl.dot(p_middle, v_high, part)
        part = tl.dot(p_high, v_middle, part)
        part = tl.dot(p_high, v_high, part)
        total = total * fade[:, None] + part
    return total, peak, sum_


@triton.jit
def attention_kernel(
    q_ptr, k_ptr, v_ptr, out_ptr, queries, keys, head_dim, padded_queries, padded_keys,
    q_plane, k_plane, group, blocks_m, steepness,
    CAUSAL: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):
    head = (tl.program_id(0) // blocks_m).to(tl.int64)
    # The last queries see the most keys: they go first, so that none is left alone at the end.
    block_m = blocks_m - 1 - tl.program_id(0) % blocks_m
    m = block_m * BLOCK_M + tl.arange(0, BLOCK_M)
    d = tl.arange(0, BLOCK_D)
    q_ptrs = q_ptr + (head * padded_queries + m)[:, None] * BLOCK_D + d[None, :]
    q_step = q_plane.to(tl.int64)
    q_high = tl.load(q_ptrs)
    q_middle = tl.load(q_ptrs + q_step)
    q_low = tl.load(q_ptrs + 2 * q_step)
    key_head = head // group
    k_ptr += key_head * padded_keys * BLOCK_D
    v_ptr += key_head * padded_keys * BLOCK_D
    step = tl.cast(k_plane, tl.int64)
    total = tl.zeros((BLOCK_M, BLOCK_D), dtype=tl.float32)
    peak = tl.full((BLOCK_M,), -float("inf"), dtype=tl.float32)
    sum_ = tl.zeros((BLOCK_M,), dtype=tl.float32)
    # Tiles that all of these queries see whole, then those on the diagonal and at the end.
    whole = tl.minimum(block_m * BLOCK_M, keys) // BLOCK_N * BLOCK_N
    last = tl.minimum((block_m + 1) * BLOCK_M, keys)
    total, peak, sum_ = attend(
        q_high, q_middle, q_low, k_ptr, v_ptr, step, total, peak, sum_, m, 0, whole, keys,
        steepness,
        False, CAUSAL, BLOCK_N, BLOCK_D,
    )
    total, peak, sum_ = attend(
        q_high, q_middle, q_low, k_ptr, v_ptr, step, total, peak, sum_, m, whole, last, keys,
        steepness,
        True, CAUSAL, BLOCK_N, BLOCK_D,
    )
    # Without any key there is nothing to take the mean of: zeros, as a sum of nothing.
    total = total / tl.where(sum_ == 0.0, 1.0, sum_)[:, None]
    out_ptrs = out_ptr + (head * queries + m)[:, None] * head_dim + d[None, :]
    tl.store(out_ptrs, total, mask=(m < queries)[:, None] & (d < head_dim)[None, :])


def split(x, scale, block_d):
    """The pieces of every head: [3, batch, heads, padded rows, block_d]."""
    batch, heads, rows, head_dim = x.shape
    padded_rows = triton.cdiv(rows, PAD) * PAD
    shape = (3, batch, heads, padded_rows, block_d)
    pieces = torch.empty(shape, device=x.device, dtype=torch.bfloat16)
    if pieces.numel() > 0:
        split_kernel[(batch * heads, padded_rows // SPLIT_ROWS)](
            x, pieces, rows, head_dim, padded_rows, pieces[0].numel(), scale,
            ROWS=SPLIT_ROWS, COLUMNS=block_d, num_warps=4,
        )
    return pieces


def run(q, k, v):
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    batch, heads, queries, head_dim = q.shape
    keys = k.shape[2]
    out = torch.empty_like(q)
    if out.numel() == 0:
        return out
    block_d = max(16, triton.next_power_of_2(head_dim))
    usual = block_d <= USUAL_HEAD
    block_m = BLOCK_M if usual else LONG_BLOCK
    block_n = BLOCK_N if usual else LONG_BLOCK
    blocks_m = triton.cdiv(queries, block_m)
    # Of the softmax's scale and change of base a power of two goes into the queries, exactly; the
    # rest is for differences of scores. Rounded queries would tell keys apart that tie.
    steepness = LOG2_E / math.sqrt(head_dim)
    power = 2.0 ** math.floor(math.log2(steepness))
    q_pieces = split(q, power, block_d)
    k_pieces, v_pieces = split(k, 1.0, block_d), split(v, 1.0, block_d)
    attention_kernel[(batch * heads * blocks_m,)](
        q_pieces, k_pieces, v_pieces, out, queries, keys, head_dim,
        q_pieces.shape[3], k_pieces.shape[3], q_pieces[0].numel(), k_pieces[0].numel(),
        heads // k.shape[1], blocks_m, steepness / power,
        CAUSAL=True, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_D=block_d,
        num_warps=WARPS if usual else 4, num_stages=STAGES if usual else 1,
    )
    return out


class ModelNew(nn.Module):
    def forward(self, q, k, v):
        return run(q, k, v)
