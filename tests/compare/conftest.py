"""Pools out of thin air: a candidate's text is its speedup, and TILE changes it."""

from concurrent.futures import Future

import pytest

from kernelwright.compare.pool import SUFFIX, Pool
from kernelwright.compare.recording import head_of, record
from kernelwright.core.candidate import Tunable
from kernelwright.knowledge.sketches.drafts import Covered
from kernelwright.testing.evaluators import (
    ENVIRONMENT,
    evaluation_of,
    number_candidate,
    row_problem,
    verdict,
)

TILE = Tunable(name="TILE", choices=(1, 2, 4, 8, 16), default=1)


class FakeJudge:
    """Says what a candidate's text says, `luck` times over. `asked` are the ids, in order."""

    places = 1

    def __init__(self, luck=1.0, faults=()):
        self.luck, self.faults, self.asked = luck, list(faults), []

    def __enter__(self):
        return self

    def __exit__(self, *_raised):
        return None

    def ahead(self, candidate):
        done = Future()
        done.set_result(None)
        return done

    def judge(self, candidate, effort):
        self.asked.append(candidate.id)
        if self.faults:
            raise self.faults.pop(0)
        outcome = verdict(candidate)
        return evaluation_of(candidate, outcome, effort).model_copy(
            update={"stage_s": {"core": 2.0}}
        )


@pytest.fixture
def fake_judge():
    return FakeJudge


def head(*speedups, most=99):
    made = [number_candidate(s, tunables=(TILE,)) for s in speedups]
    covered = Covered(candidates=tuple(made), sketches=tuple(f"s{i}" for i in range(len(made))))
    return head_of("builtin:rows", row_problem(), [covered], ENVIRONMENT, most)


@pytest.fixture
def make_pool(tmp_path):
    """Record a pool of texts with these speedups, and read it."""

    def make(*speedups, name="rows", folder=tmp_path / "pools"):
        path = folder / f"{name}{SUFFIX}"
        list(record(path, head(*speedups), FakeJudge))
        return Pool.read(path)

    return make


@pytest.fixture
def head_with():
    return head
