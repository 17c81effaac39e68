"""Attention of all queries to all keys, in tiles that are never written.

The softmax is kept online: a running maximum and a running sum for each query.
Float32 operands are split into two TF32 parts each. Three TF32 products (high by high, high by
low, low by high) keep about 22 bits of every operand; sums are kept in float32.
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
# Tiles of keys get shorter where heads are longer than this.
USUAL_HEAD = 64
# Exponentials are taken to base 2, which is what the hardware has.
LOG2_E = 1.4426950408889634


@triton.jit
def attend(
    q, k_ptr, v_ptr, total, peak, sum_, m, scale, first, last, keys, head_dim,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):
    """Take the keys from `first` to `last` into the sums; where `MASKED`, some are not seen."""
    d = tl.arange(0, BLOCK_D)
    for start in range(first, last, BLOCK_N):
        n = start + tl.arange(0, BLOCK_N)
        wide = n.to(tl.int64)
        if MASKED:
            k = tl.load(
                k_ptr + wide[None, :] * head_dim + d[:, None],
                mask=(n < keys)[None, :] & (d < head_dim)[:, None], other=0.0,
            )
        else:
            k = tl.load(
                k_ptr + wide[None, :] * head_dim + d[:, None],
                mask=(d < head_dim)[:, None], other=0.0,
            )
        scores = tl.dot(q, k, input_precision="tf32x3") * scale
        if MASKED:
            seen = (n < keys)[None, :]
            if CAUSAL:
                seen &= n[None, :] <= m[:, None]
            scores = tl.where(seen, scores, -float("inf"))
        new_peak = tl.maximum(peak, tl.max(scores, 1))
        shares = tl.exp2(scores - new_peak[:, None])
        fade = tl.exp2(peak - new_peak)
        sum_ = sum_ * fade + tl.sum(shares, 1)
        total = total * fade[:, None]
        peak = new_peak
        if MASKED:
            v = tl.load(
                v_ptr + wide[:, None] * head_dim + d[None, :],
                mask=(n < keys)[:, None] & (d < head_dim)[None, :], other=0.0,
            )
        else:
            v = tl.load(
                v_ptr + wide[:, None] * head_dim + d[None, :],
                mask=(d < head_dim)[None, :], other=0.0,
            )
        total = tl.dot(shares, v, total, input_precision="tf32x3")
    return total, peak, sum_


@triton.jit
def attention_kernel(
    q_ptr, k_ptr, v_ptr, out_ptr, queries, keys, head_dim, blocks_m, scale,
    CAUSAL: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):
    head = (tl.program_id(0) // blocks_m).to(tl.int64)
    block_m = tl.program_id(0) % blocks_m
    m = block_m * BLOCK_M + tl.arange(0, BLOCK_M)
    d = tl.arange(0, BLOCK_D)
    inside = (m < queries)[:, None] & (d < head_dim)[None, :]
    places = head * queries * head_dim + m.to(tl.int64)[:, None] * head_dim + d[None, :]
    q = tl.load(q_ptr + places, mask=inside, other=0.0)
    key_head = head
    k_ptr += key_head * keys * head_dim
    v_ptr += key_head * keys * head_dim
    total = tl.zeros((BLOCK_M, BLOCK_D), dtype=tl.float32)
    peak = tl.full((BLOCK_M,), -float("inf"), dtype=tl.float32)
    sum_ = tl.zeros((BLOCK_M,), dtype=tl.float32)
    whole = keys // BLOCK_N * BLOCK_N
    last = keys
    total, peak, sum_ = attend(
        q, k_ptr, v_ptr, total, peak, sum_, m, scale, 0, whole, keys, head_dim,
        False, CAUSAL, BLOCK_N, BLOCK_D,
    )
    total, peak, sum_ = attend(
        q, k_ptr, v_ptr, total, peak, sum_, m, scale, whole, last, keys, head_dim,
        True, CAUSAL, BLOCK_N, BLOCK_D,
    )
    # Without any key there is nothing to take the mean of: zeros, as a sum of nothing.
    total = total / tl.where(sum_ == 0.0, 1.0, sum_)[:, None]
    tl.store(out_ptr + places, total, mask=inside)


def run(q, k, v):
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    batch, heads, queries, head_dim = q.shape
    keys = k.shape[2]
    out = torch.empty_like(q)
    if out.numel() == 0:
        return out
    block_d = max(16, triton.next_power_of_2(head_dim))
    block_n = max(16, min(BLOCK_N, BLOCK_N * USUAL_HEAD // block_d))
    block_m = BLOCK_M if block_d <= 2 * USUAL_HEAD else 64
    blocks_m = triton.cdiv(queries, block_m)
    attention_kernel[(batch * heads * blocks_m,)](
        q, k, v, out, queries, keys, head_dim, blocks_m,
        LOG2_E / math.sqrt(head_dim),
        CAUSAL=False, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_D=block_d,
        num_warps=WARPS, num_stages=STAGES,
    )
    return out


class ModelNew(nn.Module):
    def forward(self, q, k, v):
        return run(q, k, v)
