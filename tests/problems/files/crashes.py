"""An import that reads where nothing is."""

import ctypes

import torch
import torch.nn as nn

rows = 16
dim = 24

ctypes.string_at(0)


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
