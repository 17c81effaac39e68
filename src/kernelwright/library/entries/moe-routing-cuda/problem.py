"""The two best experts of each token, the first of equals, and their shares of a softmax."""

import torch
import torch.nn as nn

tokens = 65536
experts = 128
GPU_SIZES = {"tokens": 65536, "experts": 128}


class Model(nn.Module):
    def __init__(self, experts):
        super().__init__()
        if experts < 2:
            raise ValueError("Two experts cannot be chosen from fewer.")

    def forward(self, logits):
        # By the logits, which are as given: which of two probabilities is larger may be a rounding.
        first = logits.argmax(dim=-1, keepdim=True)
        second = logits.scatter(-1, first, -torch.inf).argmax(dim=-1, keepdim=True)
        chosen = torch.cat((first, second), dim=-1)
        shares = torch.softmax(logits, dim=-1).gather(-1, chosen)
        return shares / shares.sum(dim=-1, keepdim=True), chosen


def get_inputs():
    return [torch.randn(tokens, experts)]


def get_init_inputs():
    return [experts]
