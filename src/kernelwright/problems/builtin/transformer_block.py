"""A pre-norm transformer block: causal attention and a perceptron, each beside a residual."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch = 4
length = 48
dim = 128
hidden = 512
# No tensor has it as an axis, so it is the same at all sizes: a kernel could not know it otherwise.
heads = 8
GPU_SIZES = {"batch": 8, "length": 1024, "dim": 1024, "hidden": 4096}


class Model(nn.Module):
    def __init__(self, heads, dim, hidden):
        super().__init__()
        if dim % heads:
            raise ValueError(f"{dim} channels cannot be shared out to {heads} heads.")
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)

    def forward(self, x):
        x = x + self.project(self.attend(self.attention_norm(x)))
        return x + self.down(F.gelu(self.up(self.mlp_norm(x))))

    def attend(self, x):
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return mixed.transpose(1, 2).flatten(2)


def get_inputs():
    return [torch.randn(batch, length, dim)]


def get_init_inputs():
    return [heads, dim, hidden]
