"""A two-dimensional convolution with a bias and a ReLU as its epilogue."""

import torch
import torch.nn as nn

batch = 4
in_channels = 16
out_channels = 32
height = 28
width = 28
kernel_size = 3
GPU_SIZES = {"batch": 32, "in_channels": 64, "out_channels": 128, "height": 56, "width": 56}


class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x):
        return torch.relu(self.conv(x))


def get_inputs():
    return [torch.randn(batch, in_channels, height, width)]


def get_init_inputs():
    return [in_channels, out_channels, kernel_size]
