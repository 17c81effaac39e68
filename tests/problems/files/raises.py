"""A forward that raises."""

import torch
import torch.nn as nn

rows = 16
dim = 24


class Model(nn.Module):
    def forward(self, x):
        raise ValueError("this model is not finished")


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
