import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        rows, dim = x.shape
        both = x.new_empty(rows, 2 * dim)
        torch.mean(x, dim=1, keepdim=True, out=both[:, dim : dim + 1])
        both[:, dim:] = both[:, dim : dim + 1].clone()
        torch.sub(x, both[:, dim:], out=both[:, :dim])
        return [both[:, :dim], both[:, dim:]]
