"""A convolution of each channel with a filter of its own, and a bias."""

import torch
import torch.nn as nn

batch = 32
channels = 256
height = 56
width = 56
kernel_size = 3
GPU_SIZES = {"batch": 32, "channels": 256, "height": 56, "width": 56}


class Model(nn.Module):
    def __init__(self, channels, kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=channels
        )

    def forward(self, x):
        return self.conv(x)


def get_inputs():
    return [torch.randn(batch, channels, height, width)]


def get_init_inputs():
    return [channels, kernel_size]
