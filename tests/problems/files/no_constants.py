"""Sizes written where they are used."""

import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(32, 48)
        self.second = nn.Linear(48, 8, bias=False)

    def forward(self, x):
        return torch.tanh(self.second(torch.relu(self.first(x))))


def get_inputs():
    return [torch.randn(16, 32)]


def get_init_inputs():
    return []
