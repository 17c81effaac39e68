"""A custom autograd function; gradients are on, so the output requires one."""

import torch
from torch import nn


class DenseSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        out = torch.softmax(x @ weight.t() + bias, dim=-1)
        ctx.save_for_backward(x, weight, out)
        return out

    @staticmethod
    def backward(ctx, grad):
        x, weight, out = ctx.saved_tensors
        scores = out * (grad - (grad * out).sum(dim=-1, keepdim=True))
        return scores @ weight, scores.t() @ x, scores.sum(dim=0)


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    def forward(self, x):
        with torch.enable_grad():
            return DenseSoftmax.apply(x, self.linear.weight, self.linear.bias)
