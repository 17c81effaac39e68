import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        torch.mul(x, x.double().square().sum().rsqrt().float(), out=out)
        return out
