"""The gradients of layer normalisation: of its input, its scale and its bias."""

import torch
import torch.nn as nn

DIRECTION = "backward"
rows = 4096
dim = 4096
GPU_SIZES = {"rows": 4096, "dim": 4096}


class Model(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        return self.norm(x)


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return [dim]
