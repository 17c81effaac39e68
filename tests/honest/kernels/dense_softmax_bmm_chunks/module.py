import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    def forward(self, x):
        pieces = zip(x.chunk(3, dim=1), self.linear.weight.chunk(3, dim=1))
        scores = sum((a @ b.t() for a, b in pieces), start=self.linear.bias)
        return torch.softmax(scores, dim=-1)
