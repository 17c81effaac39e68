"""Rows of values added into the rows of a base that their indices name; several may meet."""

import torch
import torch.nn as nn

rows = 512
picks = 4096
dim = 256
GPU_SIZES = {"rows": 16384, "picks": 65536, "dim": 512}


class Model(nn.Module):
    def forward(self, base, index, values):
        return base.scatter_add(0, index[:, None].expand_as(values), values)


def get_inputs():
    return [
        torch.randn(rows, dim),
        torch.randint(0, rows, (picks,)),
        torch.randn(picks, dim),
    ]


def get_init_inputs():
    return []
