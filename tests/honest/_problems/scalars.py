"""Numbers as inputs: a float, an integer and a boolean."""

import torch
import torch.nn as nn

rows = 32
dim = 150


class Model(nn.Module):
    def forward(self, x, gain, shift, mirrored):
        scaled = x * gain + shift
        return -scaled if mirrored else scaled


def get_inputs():
    return [torch.randn(rows, dim), 0.75, 3, True]


def get_init_inputs():
    return []
