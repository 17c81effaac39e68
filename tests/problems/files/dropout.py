"""Dropout that is on."""

import torch
import torch.nn as nn

rows = 16
dim = 24


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(x)


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
