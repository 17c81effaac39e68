"""An import that ends the process."""

import os

import torch
import torch.nn as nn

rows = 16
dim = 24

os._exit(3)


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
