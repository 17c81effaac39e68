"""Integer and boolean facts about each row: four outputs."""

import torch
import torch.nn as nn

rows = 32
dim = 140


class Model(nn.Module):
    def forward(self, x):
        above = x > 0.5
        sign = torch.sign(x).to(torch.int8)
        count = above.sum(dim=-1, dtype=torch.int32)
        return above, sign, count, torch.argmax(x, dim=-1)


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return []
