"""The first call records a graph with torch.jit.trace; later calls run it on their own inputs."""

import warnings

import torch
from torch import nn


def dense_softmax(x, weight, bias):
    scores = torch.addmm(bias, x, weight.t())
    scores = scores - scores.amax(dim=-1, keepdim=True)
    terms = scores.exp()
    return terms / terms.sum(dim=-1, keepdim=True)


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)
        self._recorded = None

    def forward(self, x):
        arguments = (x, self.linear.weight.detach(), self.linear.bias.detach())
        if self._recorded is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._recorded = torch.jit.trace(dense_softmax, arguments)
        return self._recorded(*arguments)
