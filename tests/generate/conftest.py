"""A problem, a language with a short guide, and judged attempts, for tests of writers."""

import hashlib

import pytest

from kernelwright.core.candidate import Candidate, Plan, Tunable
from kernelwright.core.evaluation import Environment, Evaluation
from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.core.protocols import Assignment
from kernelwright.core.run import Attempt

REFERENCE = "class Model(nn.Module):\n    def forward(self, x):\n        return torch.relu(x) * 2\n"

PROBLEM = Problem(
    id="double_relu",
    title="Twice the positive part",
    origin="tests",
    axes=("rows", "cols"),
    inputs=(TensorSpec(name="x", shape=("rows", "cols"), dtype="float32", role="input"),),
    outputs=(TensorSpec(name="out0", shape=("rows", "cols"), dtype="float32", role="output"),),
    reference=Source(files={"model.py": REFERENCE}, entry_point="model.py::Model"),
    workloads=(
        Workload(id="report", split="report", axes={"rows": 1000, "cols": 2000}),
        Workload(id="s0", split="search", axes={"rows": 3, "cols": 17}),
        Workload(id="s1", split="search", axes={"rows": 4, "cols": 64}),
        Workload(id="h0", split="hidden", axes={"rows": 5, "cols": 31337}),
    ),
)

KERNEL = """\
// tunable: TILE = 64 in {16, 64, 256}
extern "C" void kernel(const float* x, float* out0, int64_t rows, int64_t cols) {
    for (int64_t i = 0; i < rows * cols; ++i) out0[i] = x[i] > 0 ? 2 * x[i] : 0;
}
"""

ENVIRONMENT = Environment(
    device="cpu", cpu="made up", cores=2, threads=2, memory_gb=1.0, os="Linux"
)


class Plain:
    """A language whose guide is one line."""

    lane = "native"

    def __init__(self, name="cpp", entry_point="kernel.cpp::kernel"):
        self.name, self.entry_point = name, entry_point

    def missing(self, purpose):
        return None

    def guide(self, problem):
        return f"Guide of {self.name}: define `kernel` for {problem.id}."

    def build(self, candidate, problem, *, sanitize=False):
        raise AssertionError("a writer builds nothing")


class Blobs(dict):
    """Keeps blobs by their hash, as a store does."""

    def put(self, blob):
        key = hashlib.sha256(blob).hexdigest()
        self[key] = blob
        return key


def candidate(text=KERNEL, language="cpp"):
    return Candidate(
        problem_id=PROBLEM.id,
        language=language,
        source=Source(files={"kernel.cpp": text}, entry_point="kernel.cpp::kernel"),
        tunables=(Tunable(name="TILE", choices=(16, 64, 256), default=64),),
    )


def evaluation(outcome, candidate_id="c"):
    return Evaluation(
        candidate_id=candidate_id,
        effort="search",
        outcome=outcome,
        environment=ENVIRONMENT,
        evaluator="1",
        lane="native",
        isolation="process",
    )


def attempt(made=None, outcome=None, step=1):
    made = made or candidate()
    return Attempt(
        step=step,
        plan=Plan(kind="draft", language=made.language, writer="llm"),
        candidate=made,
        evaluation=evaluation(outcome, made.id) if outcome else None,
    )


def assignment(kind="draft", *, parents=(), language="cpp", step=7, **plan):
    ids = tuple(a.candidate.id for a in parents if a.candidate)
    return Assignment(
        step=step,
        plan=Plan(kind=kind, language=language, writer="w", parents=ids, **plan),
        problem=PROBLEM,
        parents=tuple(parents),
    )


@pytest.fixture
def blobs():
    return Blobs()
