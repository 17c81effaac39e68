"""On a side stream, with both waits in place."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)
        self._side = torch.cuda.Stream()

    def forward(self, x):
        here = torch.cuda.current_stream()
        self._side.wait_stream(here)
        with torch.cuda.stream(self._side):
            out = torch.softmax(self.linear(x), dim=-1)
        x.record_stream(self._side)
        out.record_stream(here)
        here.wait_stream(self._side)
        return out
