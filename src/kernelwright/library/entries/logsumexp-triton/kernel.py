import torch
import torch.nn as nn
import triton
import triton.language as tl

# warps of a program, which holds one row in registers
# tunable: NUM_WARPS = 4 in {2, 4, 8, 16}
NUM_WARPS = 4


@triton.jit
def logsumexp_kernel(x_ptr, out_ptr, dim, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    x = tl.load(
        x_ptr + row * dim + column, mask=column < dim, other=-float("inf"),
        eviction_policy="evict_first",
    )
    largest = tl.max(x, axis=0)
    # As torch does: where the largest is infinite it is the result, and not subtracted.
    base = tl.where(tl.abs(largest) == float("inf"), 0.0, largest)
    tl.store(out_ptr + row, tl.log(tl.sum(tl.exp(x - base), axis=0)) + base)


def run(x):
    x = x.contiguous()
    rows, dim = x.shape
    out = torch.empty((rows,), device=x.device, dtype=x.dtype)
    if rows > 0:
        block = max(128, triton.next_power_of_2(dim))
        logsumexp_kernel[(rows,)](
            x, out, dim, BLOCK=block,
            num_warps=NUM_WARPS if block <= 8192 else 32,
        )
    return out


class ModelNew(nn.Module):
    def forward(self, x):
        return run(x)
