"""Scores in a scratch tensor that is kept; the output is fresh."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)
        self._scratch = torch.empty(0)

    def forward(self, x):
        shape = (x.shape[0], self.linear.out_features)
        if self._scratch.shape != shape:
            self._scratch = x.new_empty(shape)
        torch.addmm(self.linear.bias, x, self.linear.weight.t(), out=self._scratch)
        return torch.softmax(self._scratch, dim=-1)
