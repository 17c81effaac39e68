"""Self-attention with several heads; the width must be a multiple of their number."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

batch_size = 2
seq_len = 64
n_embd = 96
n_head = 8


class Model(nn.Module):
    def __init__(self, n_embd, n_head, max_len):
        super().__init__()
        assert n_embd % n_head == 0
        self.attn = nn.Linear(n_embd, 3 * n_embd)
        self.n_head = n_head
        self.register_buffer("mask", torch.tril(torch.ones(max_len, max_len))[None, None])

    def forward(self, x):
        b, t, c = x.size()
        q, k, v = self.attn(x).split(c, dim=2)
        q, k, v = (p.view(b, t, self.n_head, c // self.n_head).transpose(1, 2) for p in (q, k, v))
        att = q @ k.transpose(-2, -1) / math.sqrt(k.size(-1))
        att = att.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
        return (F.softmax(att, dim=-1) @ v).transpose(1, 2).reshape(b, t, c)


def get_inputs():
    return [torch.randn(batch_size, seq_len, n_embd)]


def get_init_inputs():
    return [n_embd, n_head, seq_len]
