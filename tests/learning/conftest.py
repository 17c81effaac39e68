"""Pools of several problems out of thin air: a candidate's text is its speedup, TILE changes it."""

import pytest
from tests.compare.conftest import TILE, FakeJudge

from kernelwright.compare.pool import SUFFIX, Pool
from kernelwright.compare.recording import head_of, record
from kernelwright.knowledge.sketches.drafts import Covered
from kernelwright.testing.evaluators import ENVIRONMENT, number_candidate, row_problem


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
            problem = row_problem().model_copy(update={"id": name})
            head = head_of(f"builtin:{name}", problem, [covered], ENVIRONMENT, 99)
            list(record(folder / f"{name}{SUFFIX}", head, FakeJudge))
        return folder

    return make


@pytest.fixture
def read():
    return lambda folder, name: Pool.read(folder / f"{name}{SUFFIX}")
