"""In place on its own temporary."""

from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    def forward(self, x):
        scores = self.linear(x)
        scores -= scores.max(dim=-1, keepdim=True).values
        scores.exp_()
        scores /= scores.sum(dim=-1, keepdim=True)
        return scores
