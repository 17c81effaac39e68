"""Cross-entropy over the vocabulary of a language model, and the gradient of its logits."""

import torch
import torch.nn as nn
import torch.nn.functional as F

DIRECTION = "forward_backward"
rows = 2048
classes = 128256
GPU_SIZES = {"rows": 2048, "classes": 128256}


class Model(nn.Module):
    def forward(self, logits, targets):
        return F.cross_entropy(logits, targets, reduction="none")


def get_inputs():
    return [torch.randn(rows, classes), torch.randint(0, classes, (rows,))]


def get_init_inputs():
    return []
