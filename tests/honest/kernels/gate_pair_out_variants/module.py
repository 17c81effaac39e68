import torch
from torch import nn


class ModelNew(nn.Module):
    @torch.inference_mode()
    def forward(self, x):
        both = x.new_empty((2, *x.shape))
        torch.sigmoid(x, out=both[0])
        torch.mul(x, both[0], out=both[1])
        return both.unbind(0)
