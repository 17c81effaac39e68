import torch
import torch.nn as nn
import triton
import triton.language as tl

# warps of a program, which holds one row in registers
# tunable: NUM_WARPS = 4 in {2, 4, 8, 16}
NUM_WARPS = 4


@triton.jit
def argmin_kernel(x_ptr, bias_ptr, out_ptr, dim, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    mask = column < dim
    x = tl.load(
        x_ptr + row * dim + column, mask=mask, other=float("inf"), eviction_policy="evict_first"
    )
    bias = tl.load(bias_ptr + column, mask=mask, other=0.0, eviction_policy="evict_last")
    shifted = x + bias
    # The smallest first, which takes one operation an element, and then where it is.
    smallest = tl.min(shifted, axis=0)
    index = tl.min(tl.where(shifted == smallest, column, BLOCK), axis=0)
    tl.store(out_ptr + row, index.to(tl.int64))


def run(x, bias):
    x = x.contiguous()
    rows, dim = x.shape
    out = torch.empty((rows,), device=x.device, dtype=torch.int64)
    if rows > 0:
        block = max(128, triton.next_power_of_2(dim))
        argmin_kernel[(rows,)](
            x, bias, out, dim, BLOCK=block,
            num_warps=NUM_WARPS if block <= 8192 else 32,
        )
    return out


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return run(x, self.bias)
