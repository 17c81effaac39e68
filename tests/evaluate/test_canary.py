"""The canary: it sings while the judge works, and is silent about nothing."""

import pytest

from kernelwright.core import names
from kernelwright.core.errors import JudgeBroken
from kernelwright.evaluate import canary as module
from kernelwright.evaluate.building.builder import Builder
from kernelwright.evaluate.canary import EVERY, Canary
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.isolation.levels import isolation_level


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("canary")
    level, _ = isolation_level()
    builder = Builder(folder, level)
    yield Canary(builder, names.load("language", "cpp")(), level, folder / "problem.json")
    builder.close()


def test_a_judge_that_works_gives_the_pair_the_right_verdicts(canary):
    canary.check(ALL_ON)


def test_a_judge_that_passes_the_cheat_is_found_out_and_names_what_it_judged(canary, monkeypatch):
    monkeypatch.setattr(module, "CHEAT", module.RIGHT)
    for number in range(EVERY - 1):
        assert not canary.note(f"candidate {number}")
    assert canary.note("the last")
    with pytest.raises(JudgeBroken, match="cheating kernel") as broken:
        canary.check(ALL_ON)
    assert broken.value.candidate_ids == (
        *(f"candidate {n}" for n in range(EVERY - 1)),
        "the last",
    )


def test_a_judge_that_fails_the_right_one_is_found_out(canary, monkeypatch):
    monkeypatch.setattr(module, "RIGHT", module.RIGHT.replace("+ 1.0f", "+ 1.5f"))
    with pytest.raises(JudgeBroken, match="right kernel"):
        canary.check(ALL_ON)


def test_after_a_good_pair_nothing_is_suspected(canary, monkeypatch):
    canary.note("candidate")
    canary.check(ALL_ON)
    monkeypatch.setattr(module, "RIGHT", module.RIGHT.replace("+ 1.0f", "+ 1.5f"))
    with pytest.raises(JudgeBroken) as broken:
        canary.check(ALL_ON)
    assert broken.value.candidate_ids == ()
