"""Names that are words of C++, or that several things share."""

import torch
import torch.nn as nn

x = 16
dim = 24


class Model(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.tied = self.weight

    def forward(self, double, weight, *out):
        return double * weight * self.weight + out[0] * self.tied


def get_inputs():
    return [torch.randn(x, dim), torch.randn(x, dim), torch.randn(dim)]


def get_init_inputs():
    return [dim]
