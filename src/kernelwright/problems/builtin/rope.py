"""Rotary position embedding: each pair of a head's channels is turned by its position's angle."""

import torch
import torch.nn as nn

batch = 4
heads = 8
length = 256
half_dim = 32
GPU_SIZES = {"batch": 8, "heads": 32, "length": 2048, "half_dim": 64}


class Model(nn.Module):
    def forward(self, x, cos, sin):
        first, second = x.chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def get_inputs():
    frequencies = 10000.0 ** (-torch.arange(half_dim) / half_dim)
    angles = torch.arange(length)[:, None] * frequencies
    return [torch.randn(batch, heads, length, 2 * half_dim), angles.cos(), angles.sin()]


def get_init_inputs():
    return []
