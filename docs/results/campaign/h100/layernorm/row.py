import torch
import torch.nn as nn
import triton
import triton.language as tl

# warps of a program, which holds one row in registers
# tunable: NUM_WARPS = 8 in {2, 4, 8, 16}
NUM_WARPS = 8

# what is added to the variance, as in the problem
KERNEL_EPS = 1e-5


@triton.jit
def norm_kernel(x_ptr, weight_ptr, bias_ptr, out_ptr, dim, eps, BLOCK: tl.constexpr):
    begin = tl.program_id(0).to(tl.int64) * dim
    column = tl.arange(0, BLOCK)
    mask = column < dim
    x = tl.load(x_ptr + begin + column, mask=mask, other=0.0, eviction_policy="evict_first")
    weight = tl.load(weight_ptr + column, mask=mask, other=0.0, eviction_policy="evict_last")
    bias = tl.load(bias_ptr + column, mask=mask, other=0.0, eviction_policy="evict_last")
    centred = tl.where(mask, x - tl.sum(x, axis=0) / dim, 0.0)
    scale = 1.0 / tl.sqrt_rn(tl.sum(centred * centred, axis=0) / dim + eps)
    out = centred * scale * weight + bias
    tl.store(out_ptr + begin + column, out, mask=mask, cache_modifier=".cs")


def run(x, weight, bias):
    x = x.contiguous()
    rows, dim = x.shape
    out = torch.empty_like(x)
    if out.numel() > 0:
        block = max(128, triton.next_power_of_2(dim))
        norm_kernel[(rows,)](
            x, weight, bias, out, dim, KERNEL_EPS, BLOCK=block,
            num_warps=NUM_WARPS if block <= 8192 else 32,
        )
    return out


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        return run(x, self.norm.weight, self.norm.bias)
