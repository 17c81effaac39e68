"""Tiles of rows, added with atomics."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def add_tile(x_ptr, out_ptr, rows, dim, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = (r[:, None] < rows) & (c[None, :] < dim)
    x = tl.load(x_ptr + r[:, None].to(tl.int64) * dim + c[None, :], mask=inside, other=0.0)
    tl.atomic_add(out_ptr + c, tl.sum(x, axis=0), mask=c < dim)


class ModelNew(nn.Module):
    def forward(self, x):
        rows, dim = x.shape
        out = x.new_zeros(dim)
        grid = (triton.cdiv(rows, 32), triton.cdiv(dim, 64))
        add_tile[grid](x, out, rows, dim, ROWS=32, COLUMNS=64)
        return out
