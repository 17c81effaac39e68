"""The gradient of each row's cross-entropy against its target class."""

import torch
import torch.nn as nn
import torch.nn.functional as F

DIRECTION = "backward"
rows = 512
classes = 2048
GPU_SIZES = {"rows": 4096, "classes": 4096}


class Model(nn.Module):
    def forward(self, logits, targets):
        return F.cross_entropy(logits, targets, reduction="none")


def get_inputs():
    return [torch.randn(rows, classes), torch.randint(0, classes, (rows,))]


def get_init_inputs():
    return []
