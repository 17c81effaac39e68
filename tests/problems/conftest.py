"""Reference files of our own, good and bad, and a short way to derive a problem from one.

What does not hang or kill its process is loaded in this one, where a file takes a tenth of a
second; the process of `Reference` has tests of its own.
"""

from pathlib import Path

import pytest
import torch

from kernelwright.problems.derive import derive
from kernelwright.problems.oracle import Oracle
from kernelwright.problems.suite import read_source

collect_ignore_glob = ["files/*"]

_FILES = Path(__file__).parent / "files"
_KEPT = {}


@pytest.fixture(autouse=True)
def one_thread_and_no_gradients(monkeypatch):
    """Small tensors gain nothing from threads, which wait for each other on a busy machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    with torch.no_grad():
        yield


@pytest.fixture
def files():
    return _FILES


class Derived:
    """A problem and the oracle that makes its cases, in this process."""

    def __init__(self, origin):
        self.source, self.origin = read_source(origin)
        self.oracle = Oracle(self.source)
        self.problem = derive(self.source, self.origin, self.oracle, memory_bytes=4 << 30)

    def answer(self, distribution="normal", seed=5, workload=None):
        chosen = workload or self.problem.report_workload
        return self.oracle.answer(self.problem, chosen, distribution, seed)

    def workload(self, name):
        return next(w for w in self.problem.workloads if w.id == name)

    def spec(self, name):
        tensors = self.problem.inputs + self.problem.outputs
        return next(t for t in tensors if t.name == name)


@pytest.fixture
def derived(files):
    def of(name, *, again=False):
        if again or name not in _KEPT:
            _KEPT[name] = Derived(name if ":" in name else files / f"{name}.py")
        return _KEPT[name]

    return of


@pytest.fixture
def written(tmp_path):
    """Derive a problem from text, under a name of our choice."""

    def of(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return Derived(path)

    return of
