import torch
import torch.nn as nn
import triton
import triton.language as tl

# warps of a program, which holds one row in registers
# tunable: NUM_WARPS = 16 in {4, 8, 16}
NUM_WARPS = 16

# The largest of a row is taken to be no less than this.
LEAST = 1e-30


@triton.jit
def quantize_kernel(x_ptr, out_ptr, dim, least, BLOCK: tl.constexpr):
    base = tl.program_id(0).to(tl.int64) * dim
    column = tl.arange(0, BLOCK)
    mask = column < dim
    x = tl.load(x_ptr + base + column, mask=mask, other=0.0, eviction_policy="evict_first")
    largest = tl.maximum(tl.max(tl.abs(x), axis=0), least)
    # With E the biased exponent of the largest, frexp's is E - 126 and the scale is
    # 2 ** (E - 126 - 7): its biased exponent is E - 6, and that of its reciprocal 260 - E.
    exponent = largest.to(tl.int32, bitcast=True) >> 23
    scale = ((exponent - 6) << 23).to(tl.float32, bitcast=True)
    reciprocal = ((260 - exponent) << 23).to(tl.float32, bitcast=True)
    # A sum near 1.5 * 2 ** 23 has no fraction left: it is rounded, half to even.
    code = (x * reciprocal + 12582912.0) - 12582912.0
    code = tl.minimum(tl.maximum(code, -127.0), 127.0)
    tl.store(out_ptr + base + column, code * scale, mask=mask)


def run(x):
    x = x.contiguous()
    rows, dim = x.shape
    out = torch.empty_like(x)
    if out.numel() > 0:
        block = max(128, triton.next_power_of_2(dim))
        quantize_kernel[(rows,)](
            x, out, dim, LEAST, BLOCK=block, num_warps=NUM_WARPS if block <= 8192 else 32
        )
    return out


class ModelNew(nn.Module):
    def forward(self, x):
        return run(x)
