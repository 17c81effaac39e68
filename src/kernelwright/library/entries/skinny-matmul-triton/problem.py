"""A linear layer on a few rows, as in decoding: the weights are most of what is read."""

import torch
import torch.nn as nn

rows = 16
inner = 8192
dim = 8192
GPU_SIZES = {"rows": 16, "inner": 8192, "dim": 8192}


class Model(nn.Module):
    def __init__(self, inner, dim):
        super().__init__()
        self.linear = nn.Linear(inner, dim, bias=False)

    def forward(self, x):
        return self.linear(x)


def get_inputs():
    return [torch.randn(rows, inner)]


def get_init_inputs():
    return [inner, dim]
