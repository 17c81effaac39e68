"""One minus the mean cosine similarity of rows."""

import torch
import torch.nn as nn
import torch.nn.functional as F

rows = 48
dim = 300


class Model(nn.Module):
    def forward(self, predictions, targets):
        return torch.mean(1 - F.cosine_similarity(predictions, targets, dim=1))


def get_inputs():
    return [torch.randn(rows, dim), torch.randn(rows, dim)]


def get_init_inputs():
    return []
