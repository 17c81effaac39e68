"""A GRU cell: three gates of two products each."""

import torch
import torch.nn as nn

rows = 24
inner = 40
hidden = 32


class Model(nn.Module):
    def __init__(self, inner, hidden):
        super().__init__()
        self.cell = nn.GRUCell(inner, hidden)

    def forward(self, x, h):
        return self.cell(x, h)


def get_inputs():
    return [torch.randn(rows, inner), torch.randn(rows, hidden)]


def get_init_inputs():
    return [inner, hidden]
