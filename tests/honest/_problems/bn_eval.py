"""Batch normalisation as in inference, a bias and a hard swish."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch = 4
channels = 12
height = 18
width = 20


class Model(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.norm.eval()

    def forward(self, x):
        return F.hardswish(F.batch_norm(x, self.norm.running_mean, self.norm.running_var,
                                        self.norm.weight, self.norm.bias, False, 0.1, 1e-5))


def get_inputs():
    return [torch.randn(batch, channels, height, width)]


def get_init_inputs():
    return [channels]
