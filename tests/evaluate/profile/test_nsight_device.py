"""Nsight Compute in front of real kernels. Skipped where there is no device, and where its driver
gives counters to nobody in a sandbox, which the skip says."""

import pytest

from kernelwright.core.problem import Source
from kernelwright.evaluate.opening import open_judge
from kernelwright.evaluate.profile.counted import counted
from kernelwright.evaluate.profile.counters import Counters
from kernelwright.evaluate.profile.diagnose import diagnose
from kernelwright.evaluate.profile.disassembly import Facts
from kernelwright.languages.machine import cuda_devices
from kernelwright.languages.reading import candidate_from_text

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(cuda_devices() == 0, reason="this machine has no CUDA device"),
]

# 128 MiB each way: more than a cache holds.
PROBLEM = """
import torch
import torch.nn as nn

rows = 4096
columns = 8192


class Model(nn.Module):
    def forward(self, x):
        return x + x.roll(1)


def get_inputs():
    return [torch.randn(rows, columns)]


def get_init_inputs():
    return []
"""
# What it computes does not matter here: each element, and one that left the caches long ago.
CUDA = """
__global__ void pairs(const float* x, float* out, int64_t n) {{
    int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) out[i] = x[i] + {};
}}

extern "C" void launch(
    const float* x, float* out, int64_t rows, int64_t columns, cudaStream_t stream
) {{
    const int64_t n = rows * columns;
    if (n > 0) pairs<<<unsigned((n + 255) / 256), 256, 0, stream>>>(x, out, n);
}}
"""
TRITON = """
import torch
import triton
import triton.language as tl


@triton.jit
def twice(x, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, 2 * tl.load(x + i, mask=i < n), mask=i < n)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        twice[(triton.cdiv(x.numel(), 1024),)](x, out, x.numel(), BLOCK=1024)
        return out
"""
NBYTES = 4 * 4096 * 8192


@pytest.fixture(scope="module")
def judge():
    source = Source(files={"pairs.py": PROBLEM}, entry_point="pairs.py::Model")
    with open_judge(source, device="cuda") as opened:
        yield opened


@pytest.fixture
def counters(judge):
    """From a text to what was counted."""

    def of(text, language):
        found = judge.counters(candidate_from_text(judge.problem, text, language))
        if not isinstance(found, Counters):
            if "ERR_NVGPUCTRPERM" in found.why or "neither on PATH" in found.why:
                pytest.skip(found.why)
            pytest.fail(found.why)
        return found

    return of


def test_what_is_read_once_is_counted_once(judge, counters):
    found = counters(CUDA.format("1.0f"), "cuda")
    (kernel,) = found.kernels
    assert kernel.name.startswith("pairs")
    assert kernel.read_bytes == pytest.approx(NBYTES, rel=0.1)
    assert kernel.memory_percent > 40
    assert 0 < kernel.occupancy_percent <= 100
    assert kernel.stalls
    said = counted(diagnose(Facts(), None), found, judge.problem)
    assert not any("times the bytes" in hint for hint in said.hints)


def test_what_is_read_again_is_named(judge, counters):
    found = counters(CUDA.format("x[(i + n / 2) % n]"), "cuda")
    assert found.total("read_bytes") == pytest.approx(2 * NBYTES, rel=0.1)
    said = counted(diagnose(Facts(), None), found, judge.problem)
    assert any("reads 2.0 times the bytes" in hint for hint in said.hints)


def test_a_triton_kernel_is_counted_after_it_was_compiled(counters):
    (kernel,) = counters(TRITON, "triton").kernels
    assert kernel.name.startswith("twice")
    assert kernel.read_bytes == pytest.approx(NBYTES, rel=0.1)
