"""Every row added to one with index_add."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        where = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
        return torch.zeros(1, x.shape[1], device=x.device).index_add_(0, where, x)[0]
