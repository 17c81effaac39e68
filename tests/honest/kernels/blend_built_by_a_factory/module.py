"""`ModelNew` is bound, not defined."""

import torch
from torch import nn
from torch.nn import functional as F


def make(activation):
    class Gated(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(dim))
            self.bias = nn.Parameter(torch.zeros(dim))
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return torch.addcmul(self.bias, activation(x), self.scale)

    return Gated


ModelNew = make(F.silu)
