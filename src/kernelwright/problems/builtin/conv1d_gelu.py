"""A one-dimensional convolution with a bias, then GELU."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch = 8
in_channels = 32
out_channels = 32
length = 256
kernel_size = 5
GPU_SIZES = {"batch": 32, "in_channels": 128, "out_channels": 256, "length": 4096}


class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x):
        return F.gelu(self.conv(x))


def get_inputs():
    return [torch.randn(batch, in_channels, length)]


def get_init_inputs():
    return [in_channels, out_channels, kernel_size]
