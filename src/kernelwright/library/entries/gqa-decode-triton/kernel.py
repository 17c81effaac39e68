"""Decoding attention: the cache is split over programs, each of which serves a whole group of heads.

Keys and values are read once, whatever the size of the group; a second kernel combines the parts.
The products run on tensor cores with float32 operands split into TF32 parts (tf32x3), which keeps
float32's accuracy: about 22 bits of every operand, summed in float32.
"""

import math

import torch
import torch.nn as nn
import triton
import triton.language as tl

# tunable: PROGRAMS = 256 in {128, 256, 512, 1024}
PROGRAMS = 256
# tunable: BLOCK_N = 32 in {16, 32, 64}
BLOCK_N = 32
# tunable: WARPS = 4 in {4, 8}
WARPS = 4
# tunable: STAGES = 3 in {2, 3, 4}
STAGES = 3
# The fewest rows of a tensor core's product; a smaller group is filled up with zeros.
FEWEST_ROWS = 16


@triton.jit
def part_kernel(
    q_ptr, k_ptr, v_ptr, sums_ptr, tops_ptr, totals_ptr, scale, group, length, head_dim, share,
    parts, BLOCK_G: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
    STAGES: tl.constexpr,
):
    pair = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    member = tl.arange(0, BLOCK_G)
    d = tl.arange(0, BLOCK_D)
    n = tl.arange(0, BLOCK_N)
    heads = pair * group + member
    in_group = (member < group)[:, None] & (d < head_dim)[None, :]
    q = tl.load(q_ptr + heads[:, None] * head_dim + d[None, :], mask=in_group, other=0.0) * scale
    begin = part * share
    end = tl.minimum(begin + share, length)
    top = tl.full((BLOCK_G,), -float("inf"), dtype=tl.float32)
    total = tl.zeros((BLOCK_G,), dtype=tl.float32)
    acc = tl.zeros((BLOCK_G, BLOCK_D), dtype=tl.float32)
    base = pair * length * head_dim
    for start in tl.range(begin, end, BLOCK_N, num_stages=STAGES):
        key = start + n
        mask = (key < end)[:, None] & (d < head_dim)[None, :]
        at = base + key.to(tl.int64)[:, None] * head_dim + d[None, :]
        k = tl.load(k_ptr + at, mask=mask, other=0.0)
        v = tl.load(v_ptr + at, mask=mask, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="tf32x3")
        scores = tl.where((key < end)[None, :], scores, -float("inf"))
        grown = tl.maximum(top, tl.max(scores, axis=1))
        weights = tl.exp(scores - grown[:, None])
        fade = tl.exp(top - grown)
        total = total * fade + tl.sum(weights, axis=1)
        acc = tl.dot(weights, v, acc * fade[:, None], input_precision="tf32x3")
        top = grown
    place = heads * parts + part
    tl.store(sums_ptr + place[:, None] * head_dim + d[None, :], acc, mask=in_group)
    tl.store(tops_ptr + place, top, mask=member < group)
    tl.store(totals_ptr + place, total, mask=member < group)


@triton.jit
def combine_kernel(
    sums_ptr, tops_ptr, totals_ptr, out_ptr, head_dim, parts,
    BLOCK_P: tl.constexpr, BLOCK_D: tl.constexpr,
):
    head = tl.program_id(0).to(tl.int64)
    part = tl.arange(0, BLOCK_P)
    d = tl.arange(0, BLOCK_D)
    tops = tl.load(tops_ptr + head * parts + part, mask=part < parts, other=-float("inf"))
    totals = tl.load(totals_ptr + head * parts + part, mask=part < parts, other=0.0)
    fades = tl.exp(tops - tl.max(tops, axis=0))
    sums = tl.load(
        sums_ptr + (head * parts + part)[:, None] * head_dim + d[None, :],
        mask=(part < parts)[:, None] & (d < head_dim)[None, :],
        other=0.0,
    )
    out = tl.sum(sums * fades[:, None], axis=0) / tl.sum(totals * fades, axis=0)
    tl.store(out_ptr + head * head_dim + d, out, mask=d < head_dim)


def run(q, k, v):
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    batch, heads, _, head_dim = q.shape
    kv_heads, length = k.shape[1], k.shape[2]
    out = torch.empty_like(q)
    if out.numel() == 0:
        return out
    group, pairs = heads // kv_heads, batch * kv_heads
    blocks = triton.cdiv(length, BLOCK_N)
    share = triton.cdiv(blocks, min(blocks, triton.cdiv(PROGRAMS, pairs))) * BLOCK_N
    parts = triton.cdiv(length, share)
    block_d = max(16, triton.next_power_of_2(head_dim))
    sums = torch.empty((batch * heads * parts, head_dim), device=q.device, dtype=q.dtype)
    tops = torch.empty((batch * heads * parts,), device=q.device, dtype=q.dtype)
    totals = torch.empty_like(tops)
    part_kernel[(pairs, parts)](
        q, k, v, sums, tops, totals, 1.0 / math.sqrt(head_dim), group, length, head_dim,
        share, parts, BLOCK_G=max(FEWEST_ROWS, triton.next_power_of_2(group)),
        BLOCK_N=BLOCK_N, BLOCK_D=block_d, STAGES=STAGES, num_warps=WARPS,
    )
    combine_kernel[(batch * heads,)](
        sums, tops, totals, out, head_dim, parts,
        BLOCK_P=triton.next_power_of_2(parts), BLOCK_D=block_d, num_warps=4,
    )
    return out


class ModelNew(nn.Module):
    def forward(self, q, k, v):
        return run(q, k, v)
