"""A batch divided by its Frobenius norm, which is one number for all of it."""

import torch
import torch.nn as nn

rows = 48
dim = 300


class Model(nn.Module):
    def forward(self, x):
        return x / torch.norm(x, p="fro")


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
