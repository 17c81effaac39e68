"""A divergence between probabilities and any positive weights: logarithms of both."""

import torch
import torch.nn as nn

rows = 32
dim = 64


class Model(nn.Module):
    def forward(self, predictions, targets, weights):
        return (targets * (targets.log() - predictions.log()) * weights.sqrt()).sum(-1)


def get_inputs():
    return [
        torch.rand(rows, dim).softmax(dim=-1),
        torch.rand(rows, dim).softmax(dim=-1),
        torch.rand(dim) + 0.5,
    ]


def get_init_inputs():
    return []
