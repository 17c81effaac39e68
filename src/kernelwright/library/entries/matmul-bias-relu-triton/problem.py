"""A linear layer and a ReLU: matmul with an epilogue."""

import torch
import torch.nn as nn

rows = 4096
inner = 4096
dim = 4096
GPU_SIZES = {"rows": 4096, "inner": 4096, "dim": 4096}


class Model(nn.Module):
    def __init__(self, inner, dim):
        super().__init__()
        self.linear = nn.Linear(inner, dim)

    def forward(self, x):
        return torch.relu(self.linear(x))


def get_inputs():
    return [torch.randn(rows, inner)]


def get_init_inputs():
    return [inner, dim]
