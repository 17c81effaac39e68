"""Rows in chunks, on threads that outlive the call."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

POOL = ThreadPoolExecutor(max_workers=2)


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    def _part(self, x, out):
        with torch.no_grad():
            out.copy_(torch.softmax(self.linear(x), dim=-1))

    def forward(self, x):
        out = x.new_empty(x.shape[0], self.linear.out_features)
        parts = zip(x.chunk(3), out.chunk(3), strict=True)
        for done in [POOL.submit(self._part, part, to) for part, to in parts]:
            done.result()
        return out
