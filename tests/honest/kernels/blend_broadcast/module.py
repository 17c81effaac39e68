"""Expanded weights and out= everywhere."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        out = torch.empty_like(x)
        torch.sigmoid(x, out=out)
        out.mul_(x).mul_(self.scale.expand_as(x)).add_(self.bias.expand(*x.shape))
        return out
