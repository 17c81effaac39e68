import torch
import torch.nn as nn
import triton
import triton.language as tl

# programs, each of which goes through rows and keeps its sums of the weight's gradients in
# registers: one or a few for each of the device's multiprocessors
# tunable: PROGRAMS = 264 in {132, 264, 396, 528}
PROGRAMS = 264

# warps of a program
# tunable: NUM_WARPS = 8 in {4, 8, 16}
NUM_WARPS = 8

# columns and programs' sums that the second kernel takes at once
# tunable: COLUMNS = 32 in {16, 32, 64}
COLUMNS = 32
PARTS = 128

# what is added to the variance, as in the problem
KERNEL_EPS = 1e-5


@triton.jit
def rows_kernel(
    x_ptr, weight_ptr, grad_ptr, out_ptr, weight_parts_ptr, bias_parts_ptr, rows, dim, eps,
    BLOCK: tl.constexpr,
):
    program = tl.program_id(0).to(tl.int64)
    programs = tl.num_programs(0)
    column = tl.arange(0, BLOCK)
    mask = column < dim
    weight = tl.load(weight_ptr + column, mask=mask, other=0.0)
    weight_sum = tl.zeros([BLOCK], tl.float32)
    bias_sum = tl.zeros([BLOCK], tl.float32)
    for row in range(program, rows, programs):
        begin = row * dim
        x = tl.load(
            x_ptr + begin + column, mask=mask, other=0.0, eviction_policy="evict_first"
        )
        grad = tl.load(
            grad_ptr + begin + column, mask=mask, other=0.0, eviction_policy="evict_first"
        )
        mean = tl.sum(x, axis=0) / dim
        centred = tl.where(mask, x - mean, 0.0)
        scale = 1.0 / tl.sqrt_rn(tl.sum(centred * centred, axis=0) / dim + eps)
        normal = centred * scale
        scaled = grad * weight
        weight_sum += grad * normal
        bias_sum += grad
        both = tl.sum(scaled * normal, axis=0) / dim
        out = (scaled - tl.sum(scaled, axis=0) / dim - normal * both) * scale
        tl.store(out_ptr + begin + column, out, mask=mask)
    part = program * dim + column
    tl.store(weight_parts_ptr + part, weight_sum, mask=mask)
    tl.store(bias_parts_ptr + part, bias_sum, mask=mask)


@triton.jit
def join_kernel(
    weight_parts_ptr, bias_parts_ptr, weight_grad_ptr, bias_grad_ptr, dim, parts, COLUMNS: tl.constexpr,
    PARTS: tl.constexpr,
):
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    weight_sum = tl.zeros([PARTS, COLUMNS], tl.float32)
    bias_sum = tl.zeros([PARTS, COLUMNS], tl.float32)
    for begin in range(0, parts, PARTS):
        part = begin + tl.arange(0, PARTS)[:, None]
        mask = (part < parts) & (column < dim)
        weight_sum += tl.load(weight_parts_ptr + part * dim + column, mask=mask, other=0.0)
        bias_sum += tl.load(bias_parts_ptr + part * dim + column, mask=mask, other=0.0)
    mask = column < dim
    tl.store(weight_grad_ptr + column, tl.sum(weight_sum, axis=0, keep_dims=True), mask=mask)
    tl.store(bias_grad_ptr + column, tl.sum(bias_sum, axis=0, keep_dims=True), mask=mask)


def run(x, weight, bias, grad_out):
    # The gradients do not depend on `bias`.
    x, grad_out = x.contiguous(), grad_out.contiguous()
    rows, dim = x.shape
    out = torch.empty_like(x)
    weight_grad = torch.empty_like(weight)
    bias_grad = torch.empty_like(weight)
    if dim == 0:
        return out, weight_grad, bias_grad
    # With no rows there is one program all the same: its sums are zeros.
    programs = max(1, min(PROGRAMS, rows))
    weight_parts = torch.empty((programs, dim), device=x.device, dtype=x.dtype)
    bias_parts = torch.empty_like(weight_parts)
    block = max(128, triton.next_power_of_2(dim))
    rows_kernel[(programs,)](
        x, weight, grad_out, out, weight_parts, bias_parts, rows, dim, KERNEL_EPS, BLOCK=block,
        num_warps=NUM_WARPS if block <= 4096 else 32,
    )
    join_kernel[(triton.cdiv(dim, COLUMNS),)](
        weight_parts, bias_parts, weight_grad, bias_grad, dim, programs, COLUMNS=COLUMNS, PARTS=PARTS,
        num_warps=4,
    )
    return out, weight_grad, bias_grad


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x, grad_out):
        return run(x, self.norm.weight, self.norm.bias, grad_out)
