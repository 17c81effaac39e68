"""A sigmoid and what it gates: two outputs of one shape."""

import torch
import torch.nn as nn

rows = 32
dim = 150


class Model(nn.Module):
    def forward(self, x):
        gate = torch.sigmoid(x)
        return gate, x * gate


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
