"""A tensor and two Python numbers."""

import torch
import torch.nn as nn

M = 64
N = 96


class Model(nn.Module):
    def forward(self, A: torch.Tensor, s: float, twice: bool) -> torch.Tensor:
        return A * s * 2 if twice else A * s


def get_inputs():
    return [torch.randn(M, N), 3.14, True]


def get_init_inputs():
    return []
