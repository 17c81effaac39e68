import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, predictions, targets):
        off = (predictions - targets).flatten()
        return (torch.dot(off, off) / off.numel()).view(1)[0]
