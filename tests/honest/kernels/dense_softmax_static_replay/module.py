"""A graph without CUDA's: static buffers and a list of steps that is recorded once per shape."""

import torch
from torch import nn


class Graph:
    """Steps over buffers whose addresses never change."""

    def __init__(self, rows, linear):
        inner, classes = linear.in_features, linear.out_features
        self.x = linear.weight.new_empty(rows, inner)
        self.scores = linear.weight.new_empty(rows, classes)
        self.column = linear.weight.new_empty(rows, 1)
        weight, bias = linear.weight.detach().t(), linear.bias.detach()
        self.steps = [
            lambda: torch.addmm(bias, self.x, weight, out=self.scores),
            lambda: torch.amax(self.scores, dim=-1, keepdim=True, out=self.column),
            lambda: self.scores.sub_(self.column).exp_(),
            lambda: torch.sum(self.scores, dim=-1, keepdim=True, out=self.column),
            lambda: self.scores.div_(self.column),
        ]

    def replay(self, x):
        self.x.copy_(x)
        for step in self.steps:
            step()
        return self.scores.clone()


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)
        self._graphs = {}

    def forward(self, x):
        rows = x.shape[0]
        if rows not in self._graphs:
            self._graphs[rows] = Graph(rows, self.linear)
        return self._graphs[rows].replay(x)
