import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x, mask):
        kept = torch.where(mask, x, torch.zeros((), dtype=x.dtype))
        return kept.t().contiguous().cumsum(0).t()
