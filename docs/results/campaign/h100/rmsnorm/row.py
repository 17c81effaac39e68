import torch
import torch.nn as nn
import triton
import triton.language as tl

# warps of a program, which holds one row in registers
# tunable: NUM_WARPS = 8 in {2, 4, 8, 16}
NUM_WARPS = 8

# what is added to the mean of squares, as in the problem
KERNEL_EPS = 1e-6


@triton.jit
def norm_kernel(x_ptr, weight_ptr, out_ptr, dim, eps, BLOCK: tl.constexpr):
    begin = tl.program_id(0).to(tl.int64) * dim
    column = tl.arange(0, BLOCK)
    mask = column < dim
    x = tl.load(x_ptr + begin + column, mask=mask, other=0.0, eviction_policy="evict_first")
    weight = tl.load(weight_ptr + column, mask=mask, other=0.0, eviction_policy="evict_last")
    scale = 1.0 / tl.sqrt_rn(tl.sum(x * x, axis=0) / dim + eps)
    out = x * scale * weight
    tl.store(out_ptr + begin + column, out, mask=mask, cache_modifier=".cs")


def run(x, weight, eps=KERNEL_EPS):
    x = x.contiguous()
    rows, dim = x.shape
    out = torch.empty_like(x)
    if out.numel() > 0:
        block = max(128, triton.next_power_of_2(dim))
        norm_kernel[(rows,)](
            x, weight, out, dim, eps, BLOCK=block,
            num_warps=NUM_WARPS if block <= 8192 else 32,
        )
    return out


class ModelNew(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return run(x, self.weight, self.eps)
