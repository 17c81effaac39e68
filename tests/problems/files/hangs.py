"""An import that never ends."""

import torch
import torch.nn as nn

rows = 16
dim = 24

while True:
    pass


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
