"""A forward with more inputs than there are."""

import torch
import torch.nn as nn

rows = 16
dim = 24


class Model(nn.Module):
    def forward(self, x, y):
        return x + y


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
