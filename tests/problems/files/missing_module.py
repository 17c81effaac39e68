"""An import of what is not there."""

import torch
import torch.nn as nn

rows = 16
dim = 24

import not_a_module_of_anyone  # noqa: E402, F401


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
