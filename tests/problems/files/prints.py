"""An import that prints what is no message."""

import os

import torch
import torch.nn as nn

rows = 16
dim = 24

for fd in (1, 2):
    os.write(fd, b'\x00\xff{"ok": {}}\n' * 2000)
print("imported")


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
