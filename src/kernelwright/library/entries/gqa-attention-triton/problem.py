"""Grouped-query attention: several query heads share one head of keys and values."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch = 4
kv_heads = 8
group = 4
length = 2048
head_dim = 64
GPU_SIZES = {"batch": 4, "kv_heads": 8, "length": 2048}


class Model(nn.Module):
    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def get_inputs():
    return [
        torch.randn(batch, kv_heads * group, length, head_dim),
        torch.randn(batch, kv_heads, length, head_dim),
        torch.randn(batch, kv_heads, length, head_dim),
    ]


def get_init_inputs():
    return []
