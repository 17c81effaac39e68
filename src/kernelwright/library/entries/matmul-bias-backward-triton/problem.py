"""The gradients of a linear layer: of its input, its weights and its bias."""

import torch
import torch.nn as nn

DIRECTION = "backward"
rows = 4096
inner = 4096
dim = 4096
GPU_SIZES = {"rows": 4096, "inner": 4096, "dim": 4096}


class Model(nn.Module):
    def __init__(self, inner, dim):
        super().__init__()
        self.linear = nn.Linear(inner, dim)

    def forward(self, x):
        return self.linear(x)


def get_inputs():
    return [torch.randn(rows, inner)]


def get_init_inputs():
    return [inner, dim]
