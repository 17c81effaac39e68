"""Windows of two as overlapping views."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        rows, count = x.shape[0], max(x.shape[1] - 1, 0)
        stride = x.stride(0)
        left = torch.as_strided(x, (rows, count), (stride, 1))
        right = torch.as_strided(x, (rows, count), (stride, 1), 1) if count else left
        steps = right - left
        return steps, torch.einsum("rc,rc->r", steps, steps)
