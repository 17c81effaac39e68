import torch
from torch import nn


class ModelNew(nn.Module):
    @torch.inference_mode()
    def forward(self, x):
        both = torch.empty((2, *x.shape), dtype=x.dtype)
        torch.sigmoid(x, out=both[0])
        torch.mul(x, both[0], out=both[1])
        return both.unbind(0)
