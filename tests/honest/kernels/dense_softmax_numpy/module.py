"""NumPy in float64; torch only carries the data in and out."""

import numpy as np
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    def forward(self, x):
        weight = self.linear.weight.detach().numpy().astype(np.float64)
        scores = x.numpy() @ weight.T + self.linear.bias.detach().numpy()
        terms = np.exp(scores - scores.max(axis=1, keepdims=True))
        return torch.from_numpy((terms / terms.sum(axis=1, keepdims=True)).astype(np.float32))
