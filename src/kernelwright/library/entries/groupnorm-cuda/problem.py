"""Group normalisation of images, with scale and bias per channel."""

import torch
import torch.nn as nn

batch = 64
channels = 256
height = 56
width = 56
num_groups = 8
GPU_SIZES = {"batch": 64, "channels": 256, "height": 56, "width": 56}


class Model(nn.Module):
    def __init__(self, num_groups, channels):
        super().__init__()
        self.norm = nn.GroupNorm(num_groups, channels)

    def forward(self, x):
        return self.norm(x)


def get_inputs():
    return [torch.randn(batch, channels, height, width)]


def get_init_inputs():
    return [num_groups, channels]
