"""Two outputs, one allocation."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        both = x.new_empty(2, *x.shape)
        torch.sigmoid(x, out=both[0])
        torch.mul(x, both[0], out=both[1])
        return both[0], both[1]
