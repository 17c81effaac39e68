"""Causal attention in which several query heads share one head of keys and values, on float16 tensor cores at float32's accuracy.

The softmax is kept online: a running maximum and a running sum for each query. Every
query, every key and every column of values is scaled by a power of two so that its largest value is near the
top of float16; each value is then the sum of two float16 halves of 11 bits each: the error is below 2^-22 of
the value (and for values that are 2^-17 of the largest or less, below 2^-40 of that largest). The first
kernels write the halves, padded with zeros to whole tiles. Three products of halves matter (low by low is
below 2^-22 of the whole). Tensor cores cut the ends off where they add, so sums
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
SPLIT_COLUMNS = 32
# Exponentials are taken to base 2, which is what the hardware has.
LOG2_E = 1.4426950408889634


@triton.jit
def power_of_two(exponent):
    """2 to an `exponent` from -126 to 127, from its bits."""
    return ((exponent + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def scaled(x, exponent):
    """`x` times 2^`exponent`, in two steps, since the power alone may be out of range."""
    half = exponent >> 1
    return x * power_of_two(half) * power_of_two(exponent - half)


@triton.jit
def exponent_for(peak):
    """The power of two that takes `peak` to between 2^14 and 2^15; float16 ends at 2^16."""
    biased = (peak.to(tl.int32, bitcast=True) >> 23) & 0xFF
    return tl.minimum(127 + 14 - biased, 126)


@triton.jit
def halves_of(x):
    """Two float16 whose sum is `x` to 22 bits. The difference is exact."""
    high = x.to(tl.float16)
    return high, (x - high.to(tl.float32)).to(tl.float16)


@triton.jit
def split_rows_kernel(
    x_ptr, out_ptr, factor_ptr, rows, columns, padded_rows, plane, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):
    """The halves of each head times `scale`, each row scaled further; what takes that off again."""
    head = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    x = tl.load(
        x_ptr + (head * rows + row)[:, None] * columns + column[None, :], mask=inside, other=0.0
    )
    x = x * scale
    exponent = exponent_for(tl.max(tl.abs(x), 1))
    high, low = halves_of(scaled(x, exponent[:, None]))
    outs = out_ptr + (head * padded_rows + row)[:, None] * COLUMNS + column[None, :]
    tl.store(outs, high)
    tl.store(outs + tl.cast(plane, tl.int64), low)
    tl.store(factor_ptr + head * padded_rows + row, power_of_two(-exponent))


@triton.jit
def split_columns_kernel(
    x_ptr, out_ptr, factor_ptr, rows, columns, padded_rows, padded_columns, plane,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):
    """The halves of some columns of a head, each column scaled; what takes that off again."""
    head = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    x_ptr += head * rows * columns
    out_ptr += head * padded_rows * padded_columns
    peaks = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, rows, ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row < rows)[:, None] & (column < columns)[None, :]
        places = row.to(tl.int64)[:, None] * columns + column[None, :]
        peaks = tl.maximum(peaks, tl.abs(tl.load(x_ptr + places, mask=inside, other=0.0)))
    exponent = exponent_for(tl.max(peaks, 0))
    tl.store(factor_ptr + head * padded_columns + column, power_of_two(-exponent))
    for start in range(0, padded_rows, ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row < rows)[:, None] & (column < columns)[None, :]
        places = row.to(tl.int64)[:, None] * columns + column[None, :]
        x = tl.load(x_ptr + places, mask=inside, other=0.0)
        high, low = halves_of(scaled(x, exponent[None, :]))
        outs = out_ptr + row.to(tl.int64)[:, None] * padded_columns + column[None, :]
        tl.store(outs, high)
        tl.store(outs + tl.cast(plane, tl.int64), low)


@triton.jit
def attend(
    q_high, q_low, q_factor, k_ptr, v_ptr, k_factor_ptr, step, total, peak, sum_,
    m, first, last, keys, steepness,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):
    """Take the keys from `first` to `last` into the sums; where `MASKED`, some are not seen."""
    d = tl.arange(0, BLOCK_D)
    for start in range(first, last, BLOCK_N):
        n = start + tl.arange(0, BLOCK_N)
        k_ptrs = k_ptr + n.to(tl.int64)[None, :] * BLOCK_D + d[:, None]
        k_high = tl.load(k_ptrs)
        k_low = tl.load(k_ptrs + step)
        scores = tl.dot(q_low, k_high)
        scores = tl.dot(q_high, k_low, scores)
        scores = tl.dot(q_high, k_high, scores)
        scores = scores * q_factor[:, None] * tl.load(k_factor_ptr + n)[None, :]
        if MASKED:
            seen = (n < keys)[None, :]
            if CAUSAL:
                seen &= n[None, :] <= m[:, None]
            scores = tl.where(seen, scores, -float("inf"))
        new_peak = tl.maximum(peak, tl.max(scores, 1))
        # At most 2^14: shares are scaled as well, which their sum takes off.
        shares = tl.exp2((scores - new_peak[:, None]) * steepness) * 16384.0
        fade = tl.exp2((peak - new_peak) * steepness)
        sum_ = sum_ * fade + tl.sum(shares, 1)
        peak = new_peak
        p_high, p_low = halves_of(shares)
        v_ptrs = v_ptr + n.to(tl.int64)[:, None] * BLOCK_D + d[None, :]
        v_high = tl.load(v_ptrs)
        v_low = tl.load(v_ptrs + step)
        part = tl.dot(p_low, v_high)
        part = tl.dot(p_high, v_low, part)
        part = tl.dot(p_high, v_high, part)
        total = total * fade[:, None] + part
    return total, peak, sum_


@triton.jit
def attention_kernel(
    q_ptr, k_ptr, v_ptr, q_factor_ptr, k_factor_ptr, v_factor_ptr, out_ptr,
    queries, keys, head_dim, padded_queries, padded_keys, q_plane, k_plane, group, blocks_m,
    steepness,
    CAUSAL: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):
    head = (tl.program_id(0) // blocks_m).to(tl.int64)
    # The last queries see the most keys: they go first, so that none is left alone at the end.
    block_m = blocks_m - 1 - tl.program_id(0) % blocks_m
    m = block_m * BLOCK_M + tl.arange(0, BLOCK_M)
    d = tl.arange(0, BLOCK_D)
    q_ptrs = q_ptr + (head * padded_queries + m)[:, None] * BLOCK_D + d[None, :]
    q_high = tl.load(q_ptrs)
    q_low = tl.load(q_ptrs + tl.cast(q_plane, tl.int64))
    q_factor = tl.load(q_factor_ptr + head * padded_queries + m)
    key_head = head // group
    k_ptr += key_head * padded_keys * BLOCK_D
    v_ptr += key_head * padded_keys * BLOCK_D
    k_factor_ptr += key_head * padded_keys
    step = tl.cast(k_plane, tl.int64)
    total = tl.zeros((BLOCK_M, BLOCK_D), dtype=tl.float32)
    peak = tl.full((BLOCK_M,), -float("inf"), dtype=tl.float32)
    sum_ = tl.zeros((BLOCK_M,), dtype=tl.float32)
    # Tiles that all of these queries see whole, then those on the diagonal and at the end.
    whole = tl.minimum(block_m * BLOCK_M, keys) // BLOCK_N * BLOCK_N
    last = tl.minimum((block_m + 1) * BLOCK_M, keys)
    total, peak, sum_ = attend(
        q_high, q_low, q_factor, k_ptr, v_ptr, k_factor_ptr, step, total, peak, sum_, m, 0, whole, keys,
        steepness,
        False, CAUSAL, BLOCK_N, BLOCK_D,
    )
    total, peak, sum_ = attend(
        q_high, q_low, q_factor, k_ptr, v_ptr, k_factor_ptr, step, total, peak, sum_, m, whole, last, keys,
        steepness,
        True, CAUSAL, BLOCK_N, BLOCK_D,
    )
    # Without any key there is nothing to take the mean of: zeros, as a sum of nothing.
    total = total / tl.where(sum_ == 0.0, 1.0, sum_)[:, None]
    total *= tl.load(v_factor_ptr + key_head * BLOCK_D + d)[None, :]
    out_ptrs = out_ptr + (head * queries + m)[:, None] * head_dim + d[None, :]
    tl.store(out_ptrs, total, mask=(m < queries)[:, None] & (d < head_dim)[None, :])


def halves(x, block_d):
    """Room for the halves of every head: [2, batch * heads, padded rows, block_d]."""
    batch, heads, rows, _ = x.shape
    shape = (2, batch * heads, triton.cdiv(rows, PAD) * PAD, block_d)
    return torch.empty(shape, device=x.device, dtype=torch.float16)


def split_rows(x, scale, block_d):
    out = halves(x, block_d)
    factors = torch.empty(out.shape[1:3], device=x.device, dtype=x.dtype)
    if factors.numel() > 0:
        split_rows_kernel[(out.shape[1], out.shape[2] // SPLIT_ROWS)](
            x, out, factors, *x.shape[2:], out.shape[2], out[0].numel(), scale,
            ROWS=SPLIT_ROWS, COLUMNS=block_d, num_warps=4,
        )
    return out, factors


def split_columns(x, block_d):
    out = halves(x, block_d)
    columns = min(SPLIT_COLUMNS, block_d)
    factors = torch.empty((out.shape[1], block_d), device=x.device, dtype=x.dtype)
    if factors.numel() > 0:
        split_columns_kernel[(out.shape[1], block_d // columns)](
            x, out, factors, *x.shape[2:], out.shape[2], block_d, out[0].numel(),
            ROWS=PAD, COLUMNS=columns, num_warps=8,
        )
    return out, factors


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
    q_halves, q_factors = split_rows(q, power, block_d)
    k_halves, k_factors = split_rows(k, 1.0, block_d)
    v_halves, v_factors = split_columns(v, block_d)
    attention_kernel[(batch * heads * blocks_m,)](
        q_halves, k_halves, v_halves, q_factors, k_factors, v_factors, out,
        queries, keys, head_dim, q_halves.shape[2], k_halves.shape[2],
        q_halves[0].numel(), k_halves[0].numel(),
        heads // k.shape[1], blocks_m, steepness / power,
        CAUSAL=True, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_D=block_d,
        num_warps=WARPS if usual else 4, num_stages=STAGES if usual else 1,
    )
    return out


class ModelNew(nn.Module):
    def forward(self, q, k, v):
        return run(q, k, v)
