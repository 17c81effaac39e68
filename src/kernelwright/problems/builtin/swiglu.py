"""SwiGLU: one half, through SiLU, gates the other."""

import torch
import torch.nn as nn
import torch.nn.functional as F

rows = 1024
dim = 1024
GPU_SIZES = {"rows": 4096, "dim": 4096}


class Model(nn.Module):
    def forward(self, gate, up):
        return F.silu(gate) * up


def get_inputs():
    return [torch.randn(rows, dim), torch.randn(rows, dim)]


def get_init_inputs():
    return []
