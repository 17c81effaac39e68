"""A dtype that float64 cannot follow."""

import torch
import torch.nn as nn

rows = 16
dim = 24


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = (torch.ones(24, 24),)

    def forward(self, x):
        return x @ self.table[0]


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
