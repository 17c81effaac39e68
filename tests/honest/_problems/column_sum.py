"""The sum of each column."""

import torch
import torch.nn as nn

rows = 200
dim = 96


class Model(nn.Module):
    def forward(self, x):
        return x.sum(dim=0)


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
