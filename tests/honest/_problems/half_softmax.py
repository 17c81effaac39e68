"""Softmax of float16 rows."""

import torch
import torch.nn as nn

rows = 32
dim = 130


class Model(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)


def get_inputs():
    return [torch.randn(rows, dim).half()]


def get_init_inputs():
    return []
