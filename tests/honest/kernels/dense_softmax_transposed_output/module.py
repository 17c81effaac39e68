"""Computed column by column; the result is a view with the strides of a transposed matrix."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    def forward(self, x):
        scores = self.linear.weight @ x.t() + self.linear.bias[:, None]
        return torch.softmax(scores, dim=0).t()
