"""A batch of matrix products with few rows each: the right sides are most of what is read."""

import torch
import torch.nn as nn

batch = 8
rows = 4
inner = 256
dim = 256
GPU_SIZES = {"batch": 64, "rows": 8, "inner": 1024, "dim": 1024}


class Model(nn.Module):
    def forward(self, a, b):
        return torch.bmm(a, b)


def get_inputs():
    return [torch.randn(batch, rows, inner), torch.randn(batch, inner, dim)]


def get_init_inputs():
    return []
