"""A small two-layer perceptron with a GELU between."""

import torch
import torch.nn as nn
import torch.nn.functional as F

rows = 8192
dim = 1024
hidden = 4096
GPU_SIZES = {"rows": 8192, "dim": 1024, "hidden": 4096}


class Model(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return [dim, hidden]
