"""Rows of a matrix picked by index, each scaled by a weight of its own."""

import torch
import torch.nn as nn

rows = 2048
picks = 4096
dim = 256
GPU_SIZES = {"rows": 65536, "picks": 65536, "dim": 1024}


class Model(nn.Module):
    def forward(self, x, index, scale):
        return x.index_select(0, index) * scale[:, None]


def get_inputs():
    return [torch.randn(rows, dim), torch.randint(0, rows, (picks,)), torch.randn(picks)]


def get_init_inputs():
    return []
