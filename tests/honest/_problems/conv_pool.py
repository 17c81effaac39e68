"""A convolution, an average pool and a sigmoid, summed over each image: level two of KernelBench."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch = 6
in_channels = 4
out_channels = 10
height = 18
width = 18
kernel_size = 3


class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size)

    def forward(self, x):
        x = F.avg_pool2d(self.conv(x), 2)
        return torch.sigmoid(x).sum(dim=[1, 2, 3])


def get_inputs():
    return [torch.randn(batch, in_channels, height, width)]


def get_init_inputs():
    return [in_channels, out_channels, kernel_size]
