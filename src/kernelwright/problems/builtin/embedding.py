"""The rows of a learned table for a batch of token numbers."""

import torch
import torch.nn as nn

batch = 8
length = 512
vocabulary = 4096
dim = 256
GPU_SIZES = {"batch": 32, "length": 2048, "vocabulary": 65536, "dim": 1024}


class Model(nn.Module):
    def __init__(self, vocabulary, dim):
        super().__init__()
        self.table = nn.Embedding(vocabulary, dim)

    def forward(self, tokens):
        return self.table(tokens)


def get_inputs():
    return [torch.randint(0, vocabulary, (batch, length))]


def get_init_inputs():
    return [vocabulary, dim]
