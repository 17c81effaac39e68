"""The mean and the Euclidean length of each float64 row: two outputs."""

import torch
import torch.nn as nn

rows = 32
dim = 200


class Model(nn.Module):
    def forward(self, x):
        return x.mean(dim=-1), torch.sqrt((x * x).sum(dim=-1))


def get_inputs():
    return [torch.randn(rows, dim, dtype=torch.float64)]


def get_init_inputs():
    return []
