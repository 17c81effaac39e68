"""The gradient of a learned table by the rows that were read; some are read very often."""

import torch
import torch.nn as nn

DIRECTION = "backward"
batch = 4
length = 256
vocabulary = 1024
dim = 128
GPU_SIZES = {"batch": 8, "length": 2048, "vocabulary": 32768, "dim": 1024}


class Model(nn.Module):
    def __init__(self, vocabulary, dim):
        super().__init__()
        self.table = nn.Embedding(vocabulary, dim)

    def forward(self, tokens):
        return self.table(tokens)


def get_inputs():
    # As in a text, few tokens make up much of it: the first of a thousand is a sixth of all.
    return [(torch.rand(batch, length) ** 4 * vocabulary).long()]


def get_init_inputs():
    return [vocabulary, dim]
