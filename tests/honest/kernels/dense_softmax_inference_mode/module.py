"""Under torch.inference_mode."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    @torch.inference_mode()
    def forward(self, x):
        return torch.softmax(self.linear(x), dim=-1)
