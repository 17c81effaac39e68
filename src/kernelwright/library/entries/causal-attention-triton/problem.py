"""Scaled dot-product attention of each query to the keys up to its own position."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch = 4
heads = 16
length = 2048
head_dim = 64
GPU_SIZES = {"batch": 4, "heads": 16, "length": 2048}


class Model(nn.Module):
    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def get_inputs():
    return [torch.randn(batch, heads, length, head_dim) for _ in range(3)]


def get_init_inputs():
    return []
