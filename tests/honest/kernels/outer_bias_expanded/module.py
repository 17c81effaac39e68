import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        means = torch.einsum("rc->r", x).div_(x.shape[1])
        return torch.sub(x, means[:, None]), means[:, None].expand_as(x)
