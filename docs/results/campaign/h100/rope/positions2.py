import torch
import torch.nn as nn
import triton
import triton.language as tl

# positions of a program, and heads for which its angles are read once
# tunable: POSITIONS = 16 in {8, 16, 32}
POSITIONS = 16
# tunable: HEADS = 2 in {1, 2, 4, 8}
HEADS = 2

# warps of a program
# tunable: NUM_WARPS = 4 in {2, 4, 8}
NUM_WARPS = 4


@triton.jit
def rope_kernel(
    x_ptr, cos_ptr, sin_ptr, out_ptr, heads, length, half_dim, POSITIONS: tl.constexpr,
    HEADS: tl.constexpr, BLOCK: tl.constexpr,
):
    position = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)[:, None]
    column = tl.arange(0, BLOCK)[None, :]
    mask = (position < length) & (column < half_dim)
    angle = position * half_dim + column
    cos = tl.load(cos_ptr + angle, mask=mask, eviction_policy="evict_last")
    sin = tl.load(sin_ptr + angle, mask=mask, eviction_policy="evict_last")
    inside = position * (2 * half_dim) + column
    for k in tl.static_range(HEADS):
        head = tl.program_id(1).to(tl.int64) * HEADS + k
        offsets = head * length * (2 * half_dim) + inside
        taken = mask & (column < tl.where(head < heads, half_dim, 0))
        first = tl.load(x_ptr + offsets, mask=taken, eviction_policy="evict_first")
        second = tl.load(x_ptr + offsets + half_dim, mask=taken, eviction_policy="evict_first")
        tl.store(out_ptr + offsets, first * cos - second * sin, mask=taken)
        tl.store(
            out_ptr + offsets + half_dim, second * cos + first * sin, mask=taken
        )


def run(x, cos, sin):
    x, cos, sin = x.contiguous(), cos.contiguous(), sin.contiguous()
    batch, heads, length, dim = x.shape
    out = torch.empty_like(x)
    if out.numel() > 0:
        block = triton.next_power_of_2(dim // 2)
        grid = (triton.cdiv(length, POSITIONS), triton.cdiv(batch * heads, HEADS))
        rope_kernel[grid](
            x, cos, sin, out, batch * heads, length, dim // 2, POSITIONS=POSITIONS,
            HEADS=HEADS, BLOCK=block, num_warps=NUM_WARPS,
        )
    return out


class ModelNew(nn.Module):
    def forward(self, x, cos, sin):
        return run(x, cos, sin)
