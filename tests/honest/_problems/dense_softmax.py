"""A linear layer and a softmax."""

import torch
import torch.nn as nn

rows = 40
inner = 72
classes = 56


class Model(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    def forward(self, x):
        return torch.softmax(self.linear(x), dim=-1)


def get_inputs():
    return [torch.randn(rows, inner)]


def get_init_inputs():
    return [inner, classes]
