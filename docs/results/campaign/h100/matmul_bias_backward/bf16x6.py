"""The gradients of a linear layer on bfloat16 tensor cores at float32's accuracy.

Every float32 is the sum of three bfloat16 pieces of 8 bits each. A first kernel writes
the pieces of both operands, padded with zeros to whole blocks. The products of pieces whose size matters
to float32 are six (the three left out are below 2^-24 of the whole): the sum has float32's accuracy, and
six bfloat16 products are as fast as three of TF32. Tensor cores cut the ends off where they add, so sums
over one block of the inner dimension are added to the whole in float32, rounded.
"""

import torch
import torch.nn as nn
import triton
import triton.language as tl

# tunable: BLOCK_M = 128 in {64, 128}
BLOCK_M = 128
# tunable: BLOCK_N = 128 in {64, 128}
BLOCK_N = 128
# tunable: BLOCK_K = 32 in {32, 64}
BLOCK_K = 32
# tunable: WARPS = 8 in {4, 8}
WARPS = 8
# tunable: STAGES = 3 in {2, 3, 4}
STAGES = 3
# Tiles of this many rows of blocks are walked together, so that they share operands in the L2 cache.
GROUP_M = 8
# Operands are padded to a multiple of this: of every block's side.
PAD = 256
SPLIT_ROWS = 4
SPLIT_COLUMNS = 256
# Rows that one program sums for the gradient of the bias, and columns.
SUM_ROWS = 128
SUM_COLUMNS = 128
SUM_STEP = 16


@triton.jit
def tile_of(pid, blocks_m, blocks_n, GROUP_M: tl.constexpr):
    """The row and the column of the block that program `pid` makes."""
    group_size = GROUP_M * blocks_n
    first_m = pid // group_size * GROUP_M
    group_rows = tl.minimum(blocks_m - first_m, GROUP_M)
    return first_m + pid % group_size % group_rows, pid % group_size // group_rows

@triton.jit
def pieces_of(x):
    """Three bfloat16 whose sum is `x` to 24 bits. The differences are exact."""
    high = x.to(tl.bfloat16)
    rest = x - high.to(tl.float32)
    middle = rest.to(tl.bfloat16)
    low = (rest - middle.to(tl.float32)).to(tl.bfloat16)
    return high, middle, low


@triton.jit
def split_kernel(
    x_ptr, out_ptr, rows, columns, padded_rows, padded_columns, plane,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):
    """The pieces of a matrix of `rows` by `columns`, in planes one after another; a batch of them."""
    batch = tl.program_id(2).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    wide_row = row.to(tl.int64) + batch * rows
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    x = tl.load(x_ptr + wide_row[:, None] * columns + column[None, :], mask=inside, other=0.0)
    high, middle, low = pieces_of(x)
    padded_row = row.to(tl.int64) + batch * padded_rows
    outs = out_ptr + padded_row[:, None] * padded_columns + column[None, :]
    step = plane.to(tl.int64)
    tl.store(outs, high)
    tl.store(outs + step, middle)
    tl.store(outs + 2 * step, low)

@triton.jit
def grad_x_kernel(
    a_ptr, b_ptr, out_ptr, rows, dim, steps, a_stride, b_stride, a_plane, b_plane,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
):
    blocks_m = tl.cdiv(rows, BLOCK_M)
    blocks_n = tl.cdiv(dim, BLOCK_N)
    block_m, block_n = tile_of(tl.program_id(0), blocks_m, blocks_n, GROUP_M)
    m = block_m * BLOCK_M + tl.arange(0, BLOCK_M)
    n = block_n * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    a_step = a_plane.to(tl.int64)
    b_step = b_plane.to(tl.int64)
    # The pieces are padded: no load needs a mask.
    a_ptrs = a_ptr + m.to(tl.int64)[:, None] * a_stride + k[None, :]
    b_ptrs = b_ptr + k.to(tl.int64)[:, None] * b_stride + n[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for step in range(steps):
        a_now = a_ptrs + step * (BLOCK_K)
        b_now = b_ptrs + step * (BLOCK_K * b_stride.to(tl.int64))
        a_high = tl.load(a_now)
        a_middle = tl.load(a_now + a_step)
        a_low = tl.load(a_now + 2 * a_step)
        b_high = tl.load(b_now)
        b_middle = tl.load(b_now + b_step)
        b_low = tl.load(b_now + 2 * b_step)
        part = tl.dot(a_low, b_high)
        part = tl.dot(a_high, b_low, part)
        part = tl.dot(a_middle, b_middle, part)
        part = tl.dot(a_middle, b_high, part)
        part = tl.dot(a_high, b_middle, part)
        part = tl.dot(a_high, b_high, part)
        total += part

    out_ptrs = out_ptr + m.to(tl.int64)[:, None] * dim + n[None, :]
    tl.store(out_ptrs, total, mask=(m < rows)[:, None] & (n < dim)[None, :])


@triton.jit
def grad_weight_kernel(
    a_ptr, b_ptr, out_ptr, rows, dim, steps, a_stride, b_stride, a_plane, b_plane,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
):
    blocks_m = tl.cdiv(rows, BLOCK_M)
    blocks_n = tl.cdiv(dim, BLOCK_N)
    block_m, block_n = tile_of(tl.program_id(0), blocks_m, blocks_n, GROUP_M)
    m = block_m * BLOCK_M + tl.arange(0, BLOCK_M)
    n = block_n * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    a_step = a_plane.to(tl.int64)
    b_step = b_plane.to(tl.int64)
    # The pieces are padded: no load needs a mask.
    a_ptrs = a_ptr + k.to(tl.int64)[:, None] * a_stride + m[None, :]
    b_ptrs = b_ptr + k.to(tl.int64)[:, None] * b_stride + n[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for step in range(steps):
        a_now = a_ptrs + step * (BLOCK_K * a_stride.to(tl.int64))
        b_now = b_ptrs + step * (BLOCK_K * b_stride.to(tl.int64))
        a_high = tl.load(a_now).T
        a_middle = tl.load(a_now + a_step).T
        a_low = tl.load(a_now + 2 * a_step).T
        b_high = tl.load(b_now)
        b_middle = tl.load(b_now + b_step)
        b_low = tl.load(b_now + 2 * b_step)
        part = tl.dot(a_low, b_high)
        part = tl.dot(a_high, b_low, part)
        part = tl.dot(a_middle, b_middle, part)
        part = tl.dot(a_middle, b_high, part)
        part = tl.dot(a_high, b_middle, part)
        part = tl.dot(a_high, b_high, part)
        total += part

    out_ptrs = out_ptr + m.to(tl.int64)[:, None] * dim + n[None, :]
    tl.store(out_ptrs, total, mask=(m < rows)[:, None] & (n < dim)[None, :])


@triton.jit
def partial_sums_kernel(
    x_ptr, out_ptr, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEP: tl.constexpr
):
    """The sums of each column over `ROWS` rows at a time."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    first = tl.program_id(1) * ROWS
    sums = tl.zeros((STEP, COLUMNS), dtype=tl.float32)
    for start in range(0, ROWS, STEP):
        row = first + start + tl.arange(0, STEP)
        inside = (row < rows)[:, None] & (column < columns)[None, :]
        places = row.to(tl.int64)[:, None] * columns + column[None, :]
        sums += tl.load(x_ptr + places, mask=inside, other=0.0)
    out_ptrs = out_ptr + tl.program_id(1).to(tl.int64) * columns + column
    tl.store(out_ptrs, tl.sum(sums, 0), mask=column < columns)


@triton.jit
def sums_kernel(x_ptr, out_ptr, rows, columns, COLUMNS: tl.constexpr, STEP: tl.constexpr):
    """The sums of whole columns."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    sums = tl.zeros((STEP, COLUMNS), dtype=tl.float32)
    for start in range(0, rows, STEP):
        row = start + tl.arange(0, STEP)
        inside = (row < rows)[:, None] & (column < columns)[None, :]
        places = row.to(tl.int64)[:, None] * columns + column[None, :]
        sums += tl.load(x_ptr + places, mask=inside, other=0.0)
    tl.store(out_ptr + column, tl.sum(sums, 0), mask=column < columns)



def padded(size):
    return triton.cdiv(size, PAD) * PAD


def split(x):
    """The pieces of a matrix or a batch of them: [3, batch, padded rows, padded columns]."""
    rows, columns = x.shape[-2:]
    batch = x.shape[0] if x.dim() == 3 else 1
    shape = (3, batch, padded(rows), padded(columns))
    pieces = torch.empty(shape, device=x.device, dtype=torch.bfloat16)
    plane = batch * shape[2] * shape[3]
    if plane > 0:
        split_kernel[(shape[2] // SPLIT_ROWS, shape[3] // SPLIT_COLUMNS, batch)](
            x, pieces, rows, columns, shape[2], shape[3], plane,
            ROWS=SPLIT_ROWS, COLUMNS=SPLIT_COLUMNS, num_warps=4,
        )
    return pieces


def blocks_of(rows, columns):
    return triton.cdiv(rows, BLOCK_M) * triton.cdiv(columns, BLOCK_N)


def run(x, weight, bias, grad_out):
    # The gradients do not depend on `bias`.
    x, grad_out = x.contiguous(), grad_out.contiguous()
    rows, inner = x.shape
    dim = weight.shape[0]
    like = {"device": x.device, "dtype": x.dtype}
    grad_x = torch.empty((rows, inner), **like)
    grad_weight = torch.empty((dim, inner), **like)
    grad_bias = torch.empty((dim,), **like)
    inputs, weights, grads = split(x), split(weight), split(grad_out)
    if grad_x.numel() > 0:
        grad_x_kernel[(blocks_of(rows, inner),)](
            grads, weights, grad_x, rows, inner, triton.cdiv(dim, BLOCK_K),
            grads.shape[3], weights.shape[3], grads[0].numel(), weights[0].numel(),
                BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K, GROUP_M=GROUP_M,
            num_warps=WARPS, num_stages=STAGES,
        )
    if grad_weight.numel() > 0:
        grad_weight_kernel[(blocks_of(dim, inner),)](
            grads, inputs, grad_weight, dim, inner, triton.cdiv(rows, BLOCK_K),
            grads.shape[3], inputs.shape[3], grads[0].numel(), inputs[0].numel(),
                BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K, GROUP_M=GROUP_M,
            num_warps=WARPS, num_stages=STAGES,
        )
    if dim > 0:
        columns, parts = triton.cdiv(dim, SUM_COLUMNS), triton.cdiv(rows, SUM_ROWS)
        partial = torch.empty((parts, dim), **like)
        if parts > 0:
            partial_sums_kernel[(columns, parts)](
                grad_out, partial, rows, dim,
                ROWS=SUM_ROWS, COLUMNS=SUM_COLUMNS, STEP=SUM_STEP,
            )
        sums_kernel[(columns,)](
            partial, grad_bias, parts, dim, COLUMNS=SUM_COLUMNS, STEP=SUM_STEP
        )
    return grad_x, grad_weight, grad_bias


class ModelNew(nn.Module):
    def __init__(self, inner, dim):
        super().__init__()
        self.linear = nn.Linear(inner, dim)

    def forward(self, x, grad_out):
        return run(x, self.linear.weight, self.linear.bias, grad_out)
