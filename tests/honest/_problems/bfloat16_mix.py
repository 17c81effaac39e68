"""A residual and a gate in bfloat16."""

import torch
import torch.nn as nn

rows = 32
dim = 150


class Model(nn.Module):
    def forward(self, x, y):
        return x * torch.sigmoid(y) + y


def get_inputs():
    return [torch.randn(rows, dim).bfloat16(), torch.randn(rows, dim).bfloat16()]


def get_init_inputs():
    return []
