"""One row at a time through torch.func.functional_call, mapped over rows with vmap."""

import torch
from torch import nn
from torch.func import functional_call, vmap


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    def forward(self, x):
        weights = {name: value.detach() for name, value in self.linear.named_parameters()}

        def row(one):
            return torch.softmax(functional_call(self.linear, weights, (one,)), dim=-1)

        return vmap(row)(x)
