"""A CUDA graph per number of rows, fed through a static buffer; what is returned is a copy."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)
        self._graphs = {}

    def _compute(self, x):
        return torch.softmax(self.linear(x), dim=-1)

    def _capture(self, x):
        static = x.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._compute(static)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = self._compute(static)
        return graph, static, out

    def forward(self, x):
        if x.numel() == 0:
            return self._compute(x)
        if x.shape[0] not in self._graphs:
            self._graphs[x.shape[0]] = self._capture(x)
        graph, static, out = self._graphs[x.shape[0]]
        static.copy_(x)
        graph.replay()
        return out.clone()
