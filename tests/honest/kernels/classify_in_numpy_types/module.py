"""Integers and booleans from NumPy."""

import numpy as np
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        values = x.numpy()
        above = values > 0.5
        sign = np.sign(values).astype(np.int8)
        count = above[:, ::-1].sum(axis=1).astype(np.int32)
        best = values.argmax(axis=1)
        return tuple(torch.from_numpy(part) for part in (above, sign, count, best))
