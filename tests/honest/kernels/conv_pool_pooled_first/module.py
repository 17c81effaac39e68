import torch
import torch.nn.functional as F
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size)

    def forward(self, x):
        pooled = F.avg_pool2d(x.double(), 2, stride=1)
        y = F.conv2d(pooled, self.conv.weight.double(), self.conv.bias.double(), stride=2)
        return torch.sigmoid(y).flatten(1).sum(1).to(x.dtype)
