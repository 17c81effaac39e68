"""Group normalisation and SiLU: one program per group reads it twice, the second time from L2.

A group is one piece of memory. The programs that run at once hold few enough groups for the L2
cache, so that memory is read once. Means and squares are taken block by block around the block's
own mean and then joined, which loses nothing when the mean is far from zero.
"""

import torch
import torch.nn as nn
import triton
import triton.language as tl

# tunable: WARPS = 16 in {8, 16, 32}
WARPS = 16
# tunable: LONGEST = 8192 in {4096, 8192, 16384}
LONGEST = 8192
# tunable: STAGES = 2 in {1, 2, 3}
STAGES = 2
# Groups of the problem: no tensor's shape tells them.
GROUPS = 32
# What is added to the variance, as in the problem.
KERNEL_EPS = 1e-5


@triton.jit
def group_kernel(
    x_ptr, weight_ptr, bias_ptr, out_ptr, groups, members, area, eps,
    BLOCK: tl.constexpr, STAGES: tl.constexpr,
):
    pid = tl.program_id(0).to(tl.int64)
    count = members * area
    base = pid * count
    first_channel = (pid % groups) * members
    lane = tl.arange(0, BLOCK)
    mean = 0.0
    spread = 0.0
    seen = 0.0
    for start in tl.range(0, count, BLOCK, num_stages=STAGES):
        mask = start + lane < count
        x = tl.load(x_ptr + base + start + lane, mask=mask, other=0.0,
                    eviction_policy="evict_last")
        size = tl.minimum(count - start, BLOCK).to(tl.float32)
        block_mean = tl.sum(x, axis=0) / size
        away = tl.where(mask, x - block_mean, 0.0)
        joined = seen + size
        step = block_mean - mean
        spread += tl.sum(away * away, axis=0) + step * step * (seen * size / joined)
        mean += step * (size / joined)
        seen = joined
    rstd = 1.0 / tl.sqrt(spread / seen + eps)
    # Backwards: what was read last is the likeliest to be near.
    blocks = tl.cdiv(count, BLOCK)
    for turn in tl.range(0, blocks, num_stages=STAGES):
        at = (blocks - 1 - turn) * BLOCK + lane
        mask = at < count
        x = tl.load(x_ptr + base + at, mask=mask, other=0.0, eviction_policy="evict_first")
        channel = first_channel + at // area
        weight = tl.load(weight_ptr + channel, mask=mask, other=0.0)
        bias = tl.load(bias_ptr + channel, mask=mask, other=0.0)
        y = (x - mean) * rstd * weight + bias
        tl.store(out_ptr + base + at, y / (1.0 + tl.exp(-y)), mask=mask,
                 eviction_policy="evict_first")


def run(x, weight, bias, groups=GROUPS):
    x = x.contiguous()
    batch, channels = x.shape[:2]
    out = torch.empty_like(x)
    if out.numel() == 0:
        return out
    area = x.shape[2] * x.shape[3]
    members = channels // groups
    block = min(LONGEST, max(128, triton.next_power_of_2(members * area)))
    group_kernel[(batch * groups,)](
        x, weight, bias, out, groups, members, area, KERNEL_EPS,
        BLOCK=block, STAGES=STAGES, num_warps=WARPS if block >= 4096 else 4,
    )
    return out


class ModelNew(nn.Module):
    def __init__(self, num_groups, channels):
        super().__init__()
        self.norm = nn.GroupNorm(num_groups, channels)

    def forward(self, x):
        return run(x, self.norm.weight, self.norm.bias, self.norm.num_groups)
