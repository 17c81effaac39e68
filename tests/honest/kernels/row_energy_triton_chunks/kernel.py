"""Chunks of a row, masked at its end."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def energy(x_ptr, out_ptr, dim, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    lanes = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, dim, BLOCK):
        at = first + lanes
        x = tl.load(x_ptr + row * dim + at, mask=at < dim, other=0.0)
        total += x * x
    tl.store(out_ptr + row, tl.sum(total) / dim)


class ModelNew(nn.Module):
    def forward(self, x):
        rows, dim = x.shape
        out = x.new_empty(rows)
        energy[(rows,)](x, out, dim, BLOCK=64)
        return out
