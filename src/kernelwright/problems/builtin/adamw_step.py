"""One AdamW step: the new parameters and both new moments."""

import torch
import torch.nn as nn

size = 262144
step = 10
GPU_SIZES = {"size": 16777216}


class Model(nn.Module):
    def __init__(self, step):
        super().__init__()
        self.rate, self.decay, self.eps = 1e-1, 1e-2, 1e-3
        self.beta1, self.beta2 = 0.9, 0.999
        self.correction1 = 1 - self.beta1**step
        self.correction2 = 1 - self.beta2**step

    def forward(self, param, grad, exp_avg, exp_avg_sq):
        exp_avg = self.beta1 * exp_avg + (1 - self.beta1) * grad
        exp_avg_sq = self.beta2 * exp_avg_sq + (1 - self.beta2) * grad * grad
        spread = (exp_avg_sq / self.correction2).sqrt() + self.eps
        decayed = param * (1 - self.rate * self.decay)
        return decayed - self.rate / self.correction1 * exp_avg / spread, exp_avg, exp_avg_sq


def get_inputs():
    return [
        torch.randn(size),
        torch.randn(size),
        0.1 * torch.randn(size),
        0.1 * torch.rand(size) + 1e-4,
    ]


def get_init_inputs():
    return [step]
