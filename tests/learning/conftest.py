"""Pools of several problems out of thin air: a candidate's text is its speedup, TILE changes it."""

import pytest
from tests.compare.conftest import TILE, FakeJudge

from kernelwright.compare.pool import SUFFIX, Pool
from kernelwright.compare.recording import head_of, record
from kernelwright.core.problem import Source
from kernelwright.knowledge.sketches.drafts import Covered
from kernelwright.testing.evaluators import ENVIRONMENT, number_candidate, row_problem

# Texts of which no two are nearly the same.
CALLS = {
    name: f"def forward(self, x):\n    return {body}\n"
    for name, body in {
        "a": "torch.sin(x) + torch.exp(x) * x.sum(-1, keepdim=True)",
        "b": "torch.softmax(x.reshape(4, -1), dim=-1)[..., None]",
        "c": "torch.cumsum(x, 0) if x.ndim == 1 else x.flip(0).cumsum(0).flip(0)",
        "d": "self.linear(torch.relu(self.norm(x)))",
        "e": "torch.topk(x, k=2, dim=1).values.mean()",
    }.items()
}


@pytest.fixture
def make_pools(tmp_path):
    """Record a pool for each name, with a text of each of its speedups; and return their folder."""

    def make(**speedups):
        folder = tmp_path / "pools"
        for name, numbers in speedups.items():
            drafts = [number_candidate(n, tunables=(TILE,)) for n in numbers]
            covered = Covered(
                candidates=tuple(drafts), sketches=tuple(f"s{i}" for i in range(len(drafts)))
            )
            reference = Source(files={"m.py": CALLS[name]}, entry_point="m.py::Model")
            problem = row_problem().model_copy(update={"id": name, "reference": reference})
            head = head_of(f"builtin:{name}", problem, [covered], ENVIRONMENT, 99)
            list(record(folder / f"{name}{SUFFIX}", head, FakeJudge))
        return folder

    return make


@pytest.fixture
def read():
    return lambda folder, name: Pool.read(folder / f"{name}{SUFFIX}")
