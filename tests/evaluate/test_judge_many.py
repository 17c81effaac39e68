"""The real judge and what stands around it: duplicates, batches, and the quiet of the clock."""

import pytest

from kernelwright.core.errors import WorkerError
from kernelwright.core.evaluation import Fault
from kernelwright.evaluate.batch import judge_many, read_candidate
from kernelwright.evaluate.building.gate import MACHINE
from kernelwright.evaluate.verdicts import REPEATED


def test_a_batch_gives_each_its_verdict_and_a_duplicate_the_same(judge, problem, silu):
    wrong = silu.replace("0.5f", "0.4f")
    texts = [wrong, silu.replace("float v", "flute v"), "no kernel here", wrong]
    found = dict(judge_many(judge, [read_candidate(problem, t, "cpp") for t in texts], "search"))
    assert [found[n].outcome.kind for n in range(4)] == [
        "wrong_result", "build_failed", "rejected", "wrong_result",
    ]  # fmt: skip
    repeated = [REPEATED in found[n].not_checked for n in (0, 3)]
    assert sorted(repeated) == [False, True]
    assert found[0].outcome == found[3].outcome
    assert found[2].candidate_id != found[1].candidate_id


def test_timing_has_the_machine_to_itself_and_what_breaks_there_is_no_verdict(
    judge, problem, silu, monkeypatch
):
    seen = []

    def time(runner, lane, effort):
        seen.append(MACHINE._measuring)
        raise WorkerError("The baselines broke.")

    monkeypatch.setattr(judge._room.bench, "start", lambda distributions: None)
    monkeypatch.setattr(judge._room.bench, "time", time)
    candidate = read_candidate(problem, f"// timed\n{silu}", "cpp")
    ((_, fault),) = judge_many(judge, [candidate], "search", retries=1, pause_s=0.0)
    assert isinstance(fault, Fault)
    assert seen == [True, True]
    assert not MACHINE._measuring
    with pytest.raises(WorkerError):
        judge.judge(candidate, "search")


def test_verdicts_on_what_ran_turn_the_cases_over(judge, problem, silu, monkeypatch):
    counted = []
    monkeypatch.setattr(judge._rotation, "count", lambda: counted.append(1))
    for text in (silu.replace("0.5f", "0.3f"), silu.replace("float v", "oops")):
        judge.judge(read_candidate(problem, text, "cpp"), "search")
    assert len(counted) == 1
