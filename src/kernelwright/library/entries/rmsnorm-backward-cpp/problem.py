"""The gradients of RMSNorm: of its input and its learned scale."""

import torch
import torch.nn as nn

DIRECTION = "backward"
rows = 1024
dim = 512
GPU_SIZES = {"rows": 4096, "dim": 4096}


class Model(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        mean_square = x.pow(2).mean(dim=-1, keepdim=True)
        return x * torch.rsqrt(mean_square + self.eps) * self.weight


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return [dim, 1e-6]
