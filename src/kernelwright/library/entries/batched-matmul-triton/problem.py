"""A batch of independent matrix products."""

import torch
import torch.nn as nn

batch = 64
rows = 1024
inner = 512
dim = 1024
GPU_SIZES = {"batch": 64, "rows": 1024, "inner": 512, "dim": 1024}


class Model(nn.Module):
    def forward(self, a, b):
        return torch.bmm(a, b)


def get_inputs():
    return [torch.randn(batch, rows, inner), torch.randn(batch, inner, dim)]


def get_init_inputs():
    return []
