"""A linear layer on a few rows whose weights are eight-bit integers, with a scale per output."""

import torch
import torch.nn as nn
import torch.nn.functional as F

rows = 16
inner = 8192
dim = 8192
GPU_SIZES = {"rows": 16, "inner": 8192, "dim": 8192}


class Model(nn.Module):
    def forward(self, x, weight, scale):
        return F.linear(x, weight.to(x.dtype) * scale[:, None])


def get_inputs():
    return [
        torch.randn(rows, inner),
        torch.randint(-127, 128, (dim, inner), dtype=torch.int8),
        torch.rand(dim) / 128,
    ]


def get_init_inputs():
    return []
