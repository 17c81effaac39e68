"""Noise on every channel, and a fallback that is another way to the same result."""

import logging
import sys
import warnings

import torch
from torch import nn


def fancy(scores):
    raise RuntimeError("this machine has no fancy softmax")


class ModelNew(nn.Module):
    def __init__(self, inner, classes):
        super().__init__()
        self.linear = nn.Linear(inner, classes)

    def forward(self, x):
        print("PASS", tuple(x.shape), flush=True)
        print("verdict: passed", file=sys.stderr)
        warnings.warn("a warning that nobody asked for", stacklevel=2)
        logging.getLogger("honest").error("an error that is none")
        scores = self.linear(x)
        try:
            return fancy(scores)
        except RuntimeError:
            return torch.softmax(scores, dim=-1)
