"""A TorchScript function, compiled at import."""

import warnings

import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")

    @torch.jit.script
    def dense_softmax(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        scores = torch.matmul(x, weight.t()) + bias
        return torch.softmax(scores, dim=-1)


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    def forward(self, x):
        return dense_softmax(x, self.linear.weight, self.linear.bias)
