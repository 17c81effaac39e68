"""An operator of its own, registered with torch.library."""

import torch
from torch import nn


@torch.library.custom_op("honest::dense_softmax", mutates_args=())
def dense_softmax(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.softmax(torch.nn.functional.linear(x, weight, bias), dim=-1)


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    def forward(self, x):
        return dense_softmax(x, self.linear.weight, self.linear.bias)
