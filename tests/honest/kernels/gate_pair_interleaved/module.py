"""The two outputs as the even and the odd elements of one buffer."""

from collections import namedtuple

import torch
from torch import nn

Pair = namedtuple("Pair", ["gate", "gated"])


class ModelNew(nn.Module):
    def forward(self, x):
        both = x.new_empty(*x.shape, 2)
        both[..., 0] = 1 / (1 + torch.exp(-x))
        both[..., 1] = x * both[..., 0]
        return Pair(*both.unbind(-1))
