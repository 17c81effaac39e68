"""A gated SiLU: scale and bias per column."""

import torch
import torch.nn as nn
import torch.nn.functional as F

rows = 40
dim = 250


class Model(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return F.silu(x) * self.scale + self.bias


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return [dim]
