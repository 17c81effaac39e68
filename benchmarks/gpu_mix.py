"""A fixed set of candidates as a search makes them: half fail to build or to run, a quarter is
wrong, a quarter is right. For `examples/rmsnorm_silu.py`, in Triton and in CUDA.

The CUDA kernels come as our native lane takes them (`launch`, with a C ABI), and as a module that
builds them with torch's `load_inline`, which is what other harnesses take. The kernel is the same
text in both.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Class = Literal["fails to build", "fails when run", "wrong", "right"]
# Replaced each time; inside the kernels, since Triton's own cache goes by a kernel's text.
_NUMBER = "NUMBER"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One candidate: its file for us, and for others. A text is new each time it is asked for."""

    name: str
    kind: Class
    ours: str
    theirs: str

    def fresh_ours(self) -> str:
        """Our file, with a number that nobody has built."""
        return _fresh(self.ours)

    def fresh_theirs(self) -> str:
        """The others' file, likewise."""
        return _fresh(self.theirs)


def shares(entries: Iterable[Entry]) -> dict[Class, float]:
    """The share of each class, in the order of the set."""
    counts = Counter(entry.kind for entry in entries)
    return {kind: count / counts.total() for kind, count in counts.items()}


def mixed(entries: list[Entry]) -> list[Entry]:
    """The set in an order in which classes come mixed, always the same."""
    return random.Random(0).sample(entries, k=len(entries))


def some(entries: list[Entry], kind: Class, count: int) -> list[Entry]:
    """`count` candidates of a class, evenly spread over it; one is the one in the middle."""
    of_kind = [entry for entry in entries if entry.kind == kind]
    count = min(count, len(of_kind))
    return [of_kind[(2 * at + 1) * len(of_kind) // (2 * count)] for at in range(count)]


TRITON = """
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def rows(x, weight, out, dim, eps, BLOCK: tl.constexpr):
    # NUMBER
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < dim
    v = tl.load(x + row * dim + at, mask=inside, other=0.0)
    scale = 1.0 / tl.sqrt(tl.sum(v * v, axis=0) / dim + eps)
    v = v * scale * tl.load(weight + at, mask=inside, other=0.0)
    tl.store(out + row * dim + at, v * tl.sigmoid(v), mask=inside)


class ModelNew(nn.Module):
    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        out = torch.empty_like(x)
        block = triton.next_power_of_2(x.shape[1])
        rows[(x.shape[0],)](
            x, self.weight, out, x.shape[1], self.eps, BLOCK=block, num_warps=8
        )
        return out
"""

KERNEL = """
__global__ void rows(const float* x, const float* weight, float* out, int64_t dim) {
    // NUMBER
    const int64_t row = blockIdx.x;
    float sum = 0.0f;
    for (int64_t i = threadIdx.x; i < dim; i += THREADS) {
        const float v = x[row * dim + i];
        sum += v * v;
    }
    __shared__ float parts[32];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    float total = 0.0f;
    for (int i = 0; i < THREADS / 32; i++) total += parts[i];
    const float scale = 1.0f / sqrtf(total / dim + 1e-6f);
    for (int64_t i = threadIdx.x; i < dim; i += THREADS) {
        const float v = x[row * dim + i] * scale * weight[i];
        out[row * dim + i] = v / (1.0f + expf(-v));
    }
}
"""
LAUNCH = """
extern "C" void launch(const float* x, const float* weight, float* out,
                       int64_t batch_size, int64_t dim, cudaStream_t stream) {
    if (batch_size > 0) rows<<<unsigned(batch_size), THREADS, 0, stream>>>(x, weight, out, dim);
}
"""
RUN = """
torch::Tensor run(torch::Tensor x, torch::Tensor weight) {
    auto out = torch::empty_like(x);
    rows<<<unsigned(x.size(0)), THREADS>>>(
        x.data_ptr<float>(), weight.data_ptr<float>(), out.data_ptr<float>(), x.size(1));
    return out;
}
"""
MODULE = """
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

CUDA = r'''
#include <torch/extension.h>
{cuda}
'''
built = load_inline(
    name="rmsnorm_silu", cpp_sources="torch::Tensor run(torch::Tensor x, torch::Tensor weight);",
    cuda_sources=CUDA, functions=["run"], verbose=False,
)


class ModelNew(nn.Module):
    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return built.run(x, self.weight)
"""

# What is put in the place of what, by name.
Change = tuple[str, str]
_TRITON: dict[Class, dict[str, Change]] = {
    "fails to build": {
        "syntax": ("axis=0)", "axis=0"),
        "no class": ("class ModelNew", "class NewModel"),
        "no such function": ("tl.sqrt", "tl.squirt"),
        "undefined name": ("* scale", "* scales"),
        "block of 1000": ("tl.arange(0, BLOCK)", "tl.arange(0, 1000)"),
    },
    "fails when run": {
        "no such attribute": ("self.eps, BLOCK", "self.epsilon, BLOCK"),
        "no such argument": ("num_warps=8", "num_wraps=8"),
        "address of nobody": ("tl.load(x + row", "tl.load(x + 100_000_000_000 + row"),
    },
    "wrong": {
        "epsilon": ("/ dim + eps", "/ dim + 100 * eps"),
        "axis": ("weight + at", "weight + row % dim + 0 * at"),
        "tail": ("inside = at < dim", "inside = at < dim - 1"),
        "one element beyond": ("mask=inside, other=0.0)\n    scale",
                               "mask=at <= dim, other=0.0)\n    scale"),
    },
    "right": {
        "8 warps": ("num_warps=8", "num_warps=8"),
        "4 warps": ("num_warps=8", "num_warps=4"),
        "16 warps": ("num_warps=8", "num_warps=16"),
        "mean first": ("tl.sum(v * v, axis=0) / dim", "tl.sum(v * v / dim, axis=0)"),
    },
}  # fmt: skip
_FIRST = "i < dim; i += THREADS) {\n        const float v = x[row * dim + i];"
_LAST = "i < dim; i += THREADS) {\n        const float v = x[row * dim + i] * scale"
_CUDA: dict[Class, dict[str, Change]] = {
    "fails to build": {
        "syntax": ("sum += v * v;", "sum += v * v"),
        "no such function": ("sqrtf", "squirtf"),
        "undefined name": ("* scale *", "* scales *"),
        "type": ("float total = 0.0f;", "float total = parts;"),
        "too much shared memory": ("float parts[32]", "float parts[32000]"),
    },
    "fails when run": {
        "too many threads": ("THREADS 256", "THREADS 4096"),
        "trap": ("blockIdx.x;", "blockIdx.x;\n    if (row == 0) __trap();"),
        "address of nobody": ("sum += v * v", "sum += v * x[100000000000 + i]"),
    },
    "wrong": {
        "epsilon": ("1e-6f", "1e-4f"),
        "axis": ("weight[i]", "weight[row % dim]"),
        "tail": (_LAST, _LAST.replace("i < dim", "i < dim - 1")),
        "one element beyond": (_FIRST, _FIRST.replace("i < dim", "i <= dim")),
    },
    "right": {
        "256 threads": ("THREADS 256", "THREADS 256"),
        "128 threads": ("THREADS 256", "THREADS 128"),
        "512 threads": ("THREADS 256", "THREADS 512"),
        "1024 threads": ("THREADS 256", "THREADS 1024"),
    },
}


def triton() -> list[Entry]:
    """The set in Triton: one file for both."""
    return [
        Entry(name=name, kind=kind, ours=text, theirs=text)
        for kind, changes in _TRITON.items()
        for name, change in changes.items()
        for text in [_changed(TRITON, change)]
    ]


def cuda() -> list[Entry]:
    """The set in CUDA: the same kernel with a C function, and with a torch extension around it."""
    found = []
    for kind, changes in _CUDA.items():
        for name, change in changes.items():
            kernel = _changed(f"#define THREADS 256\n{KERNEL}", change)
            module = MODULE.replace("{cuda}", kernel + RUN)
            found.append(Entry(name=name, kind=kind, ours=kernel + LAUNCH, theirs=module))
    return found


SETS = {"triton": triton, "cuda": cuda}


def _changed(text: str, change: Change) -> str:
    before, after = change
    if before not in text:
        raise ValueError(f"{before!r} is not in the kernel")
    return text.replace(before, after)


def _fresh(text: str) -> str:
    return text.replace(_NUMBER, os.urandom(16).hex())
