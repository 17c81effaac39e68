"""One new token of each sequence attends to a long cache of keys and values, shared by groups."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch = 8
kv_heads = 8
group = 4
length = 8192
head_dim = 128
GPU_SIZES = {"batch": 8, "kv_heads": 8, "length": 8192, "head_dim": 128}


class Model(nn.Module):
    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)


def get_inputs():
    return [
        torch.randn(batch, kv_heads * group, 1, head_dim),
        torch.randn(batch, kv_heads, length, head_dim),
        torch.randn(batch, kv_heads, length, head_dim),
    ]


def get_init_inputs():
    return []
