"""Online softmax over chunks."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def softmax(x_ptr, out_ptr, dim, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    lanes = tl.arange(0, BLOCK)
    top = tl.full((), -float("inf"), tl.float32)
    total = tl.zeros((), tl.float32)
    for first in range(0, dim, BLOCK):
        at = first + lanes
        x = tl.load(x_ptr + row * dim + at, mask=at < dim, other=-float("inf")).to(tl.float32)
        new_top = tl.maximum(top, tl.max(x))
        total = total * tl.exp(top - new_top) + tl.sum(tl.exp(x - new_top))
        top = new_top
    for first in range(0, dim, BLOCK):
        at = first + lanes
        x = tl.load(x_ptr + row * dim + at, mask=at < dim, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * dim + at, (tl.exp(x - top) / total).to(tl.float16), mask=at < dim)


class ModelNew(nn.Module):
    def forward(self, x):
        rows, dim = x.shape
        out = torch.empty_like(x)
        softmax[(rows,)](x, out, dim, BLOCK=32)
        return out
