"""Scaled dot-product attention of all queries to all keys."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch = 4
heads = 16
queries = 2048
keys = 2048
head_dim = 64
GPU_SIZES = {"batch": 4, "heads": 16, "queries": 2048, "keys": 2048}


class Model(nn.Module):
    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v)


def get_inputs():
    return [
        torch.randn(batch, heads, queries, head_dim),
        torch.randn(batch, heads, keys, head_dim),
        torch.randn(batch, heads, keys, head_dim),
    ]


def get_init_inputs():
    return []
