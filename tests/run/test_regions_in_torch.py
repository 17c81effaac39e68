"""A program that was cut and put together computes what it did, with kernels of sketches."""

import importlib.util
import sys
import warnings

import pytest
import torch

from kernelwright.core.evaluation import Agreement, Passed
from kernelwright.core.problem import Source
from kernelwright.knowledge.sketches.drafts import drafts
from kernelwright.languages.cpp import Cpp
from kernelwright.problems.derive import derive
from kernelwright.problems.loading import load_program
from kernelwright.problems.oracle import Oracle
from kernelwright.problems.outlining import outline
from kernelwright.problems.sizes import pick_trace_workloads
from kernelwright.problems.tracing import trace
from kernelwright.run.delivery import kernel_file
from kernelwright.run.regions.finding import find_cut
from kernelwright.run.regions.recombining import RegionKernel, recombined
from kernelwright.testing.evaluators import evaluation_of

MODEL = '''
"""A scaled perceptron, sorted, and a softmax of what is left over."""
import torch
import torch.nn as nn

rows = 6
dim = 20


class Model(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(2 * dim))

    def forward(self, x):
        wide = torch.tanh(torch.cat([x, -x], dim=-1) * self.scale)
        ordered, places = torch.sort(wide, dim=-1, descending=True)
        return torch.softmax(ordered.view(-1, 2, x.shape[1]), dim=-1), places


def get_inputs():
    return [torch.randn(rows, dim)]


def get_init_inputs():
    return [dim]
'''


def graph_of(problem):
    workload = pick_trace_workloads(problem)[0]
    return trace(load_program(problem.reference, workload.constants), workload, problem)


def drafted(region):
    """The first kernel that sketches draft for a region, as if it had been verified."""
    problem = derive(region.source, "a region", Oracle(region.source), memory_bytes=1 << 30)
    candidate = drafts(problem, graph_of(problem), "cpp").candidates[0]
    agreed = tuple(
        Agreement(workload_id=w.id, split=w.split, cases=1, elements=1, worst=0.0)
        for w in problem.workloads
    )
    verdict = evaluation_of(candidate, Passed(agreements=agreed, measurements=()))
    name = f"region_{region.number}.cpp"
    made = kernel_file(problem, candidate, verdict, Cpp(), device="cpu", name=name)
    return RegionKernel(region=region, file=made)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with torch.no_grad():
        yield tmp_path


def imported(home, candidate):
    for name, text in candidate.source.files.items():
        (home / name).write_text(text)
    spec = importlib.util.spec_from_file_location("put_together", home / "regions.py")
    module = sys.modules["put_together"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_whole_gives_what_the_reference_gives(home):
    source = Source(files={"model.py": MODEL}, entry_point="model.py::Model")
    oracle = Oracle(source)
    problem = derive(source, "model.py", oracle, memory_bytes=1 << 30)
    workload = pick_trace_workloads(problem)[0]
    small, own = (oracle.twins(c).eager for c in (workload.constants, {}))
    found = outline(small, workload, problem, own)
    cut = find_cut(problem, found, graph_of, ["cpp"])
    assert [region.ops[-1] for region in cut.regions] == ["tanh", "softmax"]
    assert [each.ops[0] for each in cut.torch if "sketch" in each.reason] == ["sort"]
    module = imported(home, recombined(problem, cut, [drafted(r) for r in cut.regions]))
    for rows, dim in ((6, 20), (workload.axes["rows"], workload.axes["dim"])):
        model, reference = module.ModelNew(dim), module.Model(dim)
        model.load_state_dict(reference.state_dict())
        # Not as its elements lie in memory.
        x = torch.randn(dim, rows).t()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a kernel that is not used warns
            ours = model(x)
        for one, other in zip(ours, reference(x), strict=True):
            torch.testing.assert_close(one, other)
