"""One judge for one small problem, shared by all tests: its baselines take seconds to start."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import Isolation
from kernelwright.core.problem import Problem, Source
from kernelwright.evaluate.isolation import levels, walls
from kernelwright.evaluate.judge import Judge
from kernelwright.problems.reference import Reference

REFERENCE = '''
"""A SiLU with an offset, the same at every size."""
import torch
import torch.nn as nn

rows = 192
columns = 1024


class Model(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x) + 0.5


def get_inputs():
    return [torch.randn(rows, columns)]


def get_init_inputs():
    return []
'''

SILU = """
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t columns) {
    #pragma omp parallel for
    for (int64_t i = 0; i < rows * columns; i++) {
        float v = x[i];
        out[i] = v / (1.0f + expf(-v)) + 0.5f;
    }
}
"""


@pytest.fixture(scope="session")
def reference() -> Iterator[Reference]:
    source = Source(files={"silu.py": REFERENCE}, entry_point="silu.py::Model")
    with Reference.open(source) as opened:
        yield opened


@pytest.fixture(scope="session")
def problem(reference: Reference) -> Problem:
    return reference.load()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a library that stands in for NVIDIA's driver."""
    folder = tmp_path_factory.mktemp("driver")
    fake = Path(__file__).parent / "fake_driver.c"
    command = ["cc", "-shared", "-fPIC", str(fake), "-o", "libcuda.so.1"]
    subprocess.run(command, cwd=folder, check=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def judge(problem: Problem, reference: Reference) -> Iterator[Judge]:
    with Judge(problem, reference) as opened:
        yield opened


@pytest.fixture(scope="session")
def cpp(problem: Problem) -> Callable[[str], Candidate]:
    def candidate(text: str) -> Candidate:
        source = Source(files={"kernel.cpp": text}, entry_point="kernel.cpp::kernel")
        return Candidate(problem_id=problem.id, language="cpp", source=source)

    return candidate


@pytest.fixture(scope="session")
def needs_level() -> Callable[[Isolation], None]:
    """Skip where the machine cannot have a level; where only we fail at it, tests must show it."""

    @functools.cache
    def bubblewrap_starts() -> bool:
        argv = [walls.bwrap(), "--unshare-all", "--ro-bind", "/", "/", "/bin/true"]
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

    def check(level: Isolation) -> None:
        if why := levels.lacking(level):
            pytest.skip(why)
        if walls.in_namespaces(level) and not bubblewrap_starts():
            pytest.skip("bubblewrap does not start here")

    return check


@pytest.fixture(scope="session")
def silu() -> str:
    return SILU


collect_ignore = ["attempts.py"]  # a program that runs inside the sandbox
