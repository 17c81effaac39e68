import torch
import torch.nn as nn
import triton
import triton.language as tl

# the longest piece of a row that is summed at once; a longer row carries its sum from piece to piece
# tunable: BLOCK = 4096 in {1024, 2048, 4096}
BLOCK = 4096

# warps of a program, which works on one row
# tunable: NUM_WARPS = 8 in {4, 8, 16}
NUM_WARPS = 8


@triton.jit
def cumsum_kernel(x_ptr, out_ptr, dim, BLOCK: tl.constexpr):
    base = tl.program_id(0).to(tl.int64) * dim
    carried = 0.0
    for begin in range(0, dim, BLOCK):
        column = begin + tl.arange(0, BLOCK)
        mask = column < dim
        x = tl.load(x_ptr + base + column, mask=mask, other=0.0)
        tl.store(out_ptr + base + column, carried + tl.cumsum(x, axis=0), mask=mask)
        carried += tl.sum(x, axis=0)


def run(x):
    x = x.contiguous()
    rows, dim = x.shape
    out = torch.empty_like(x)
    if out.numel() > 0:
        block = min(BLOCK, max(128, triton.next_power_of_2(dim)))
        cumsum_kernel[(rows,)](x, out, dim, BLOCK=block, num_warps=NUM_WARPS)
    return out


class ModelNew(nn.Module):
    def forward(self, x):
        return run(x)
