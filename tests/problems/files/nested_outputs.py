"""Outputs in a dict with a tuple inside, one of them of integers."""

import torch
import torch.nn as nn

rows = 24
dim = 40


class Model(nn.Module):
    def forward(self, x):
        values, indices = torch.topk(x, 4, dim=-1)
        return {"sum": x.sum(-1), "top": (values, indices)}


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
