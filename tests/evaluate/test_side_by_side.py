"""Candidates that are verified side by side, as a judge with places for that does."""

import contextlib
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from kernelwright.core.device_lock import DeviceLock
from kernelwright.core.evaluation import Crashed, Passed, Rejected, TimedOut, WrongResult
from kernelwright.evaluate import sitting
from kernelwright.evaluate.correctness.exam import Exam
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.health import others_may_be_to_blame
from kernelwright.evaluate.judge import Judge
from kernelwright.evaluate.places import Places
from kernelwright.languages.cpp import Cpp


@pytest.fixture
def untimed(monkeypatch):
    """Nothing can be timed here, so no baselines are compiled."""
    missing = Cpp.missing

    def said(language, purpose):
        return "a clock" if purpose == "time" else missing(language, purpose)

    monkeypatch.setattr(Cpp, "missing", said)


@pytest.fixture
def exam(problem, reference):
    found = Exam(problem, reference, ALL_ON)
    yield found
    found.close()


def test_who_asks_for_cases_at_once_gets_the_same_in_other_memory(exam):
    with exam.lend("screen", "native") as one, exam.lend("screen", "native") as other:
        assert one is not other
        assert [case for _, case in one.cases] == [case for _, case in other.cases]
    with exam.lend("screen", "native") as again:
        assert again in (one, other)


def test_a_set_that_is_lent_while_cases_are_drawn_anew_is_not_lent_again(exam):
    with exam.lend("screen", "native") as before:
        exam.redraw()
    with exam.lend("screen", "native") as after:
        assert after is not before


class Pair:
    """A judge with two places, and who is where in it."""

    def __init__(self, judge, monkeypatch):
        self.judge = judge
        self.both = threading.Barrier(2)
        self.verifying, self.met, self.disturbed = set(), 0, False
        verify, time = sitting.Sitting._verify, judge._room.bench.time

        def watched(one, stage, *given):
            self.verifying.add(one)
            try:
                if stage == "screen":
                    self.both.wait(timeout=20)
                    self.met += 1
                return verify(one, stage, *given)
            finally:
                self.verifying.discard(one)

        def timed(*given):
            self.disturbed |= bool(self.verifying)
            return time(*given)

        monkeypatch.setattr(sitting.Sitting, "_verify", watched)
        monkeypatch.setattr(judge._room.bench, "time", timed)

    def verdicts(self, *candidates):
        found = {}
        threads = [
            threading.Thread(target=lambda c=c: found.update({c.id: self.judge.judge(c, "search")}))
            for c in candidates
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [found[c.id].outcome for c in candidates]


@pytest.fixture
def pair(problem, reference, monkeypatch):
    monkeypatch.setattr(Places, "of", lambda device: Places(2))
    with Judge(problem, reference) as judge:
        yield Pair(judge, monkeypatch)


def test_two_are_verified_at_once_and_nobody_is_while_one_is_timed(pair, cpp, silu):
    right, wrong = cpp(silu), cpp(silu.replace("0.5f", "0.6f"))
    assert pair.judge.places == 6
    passed, failed = pair.verdicts(right, wrong)
    assert pair.met == 2
    assert not pair.disturbed
    assert isinstance(passed, Passed)
    assert isinstance(failed, WrongResult)


@pytest.mark.parametrize(
    ("said", "again"),
    [
        (TimedOut(stage="core", limit_s=5.0), True),
        (Crashed(stage="core", signal="CUDA_ERROR_OUT_OF_MEMORY", detail=""), True),
        (Crashed(stage="core", signal=None, detail="torch.OutOfMemoryError: CUDA"), True),
        (Crashed(stage="core", signal="SIGKILL", detail=""), True),
        (Crashed(stage="load", signal=None, detail="device(s) is/are busy or unavailable"), True),
        (Crashed(stage="core", signal="CUDA_ERROR_ILLEGAL_ADDRESS", detail="memory access"), False),
    ],
)
def test_others_may_be_to_blame_for_time_and_memory_that_was_short(said, again):
    assert others_may_be_to_blame(said) is again


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize(
    ("said", "again"),
    [
        (Crashed(stage="core", signal="SIGKILL", detail=""), True),
        (Crashed(stage="core", signal="CUDA_ERROR_ILLEGAL_ADDRESS", detail="memory access"), False),
    ],
)
def test_what_others_may_be_to_blame_for_is_looked_at_again_alone(
    problem, reference, cpp, silu, monkeypatch, said, again
):
    monkeypatch.setattr(Places, "of", lambda device: Places(2))
    real, asked = sitting.run_stage, []

    def unlucky(*given):
        asked.append(given)
        return said if len(asked) == 1 else real(*given)

    monkeypatch.setattr(sitting, "run_stage", unlucky)
    with Judge(problem, reference) as judge:
        outcome = judge.judge(cpp(silu), "search").outcome
    assert isinstance(outcome, Passed) is again
    if not again:
        assert outcome == said


@pytest.mark.usefixtures("untimed")
def test_the_second_look_has_the_card_to_itself_among_all_processes(
    problem, reference, cpp, silu, monkeypatch, tmp_path
):
    """Judges that are other processes verify on the same card, with a lock in common."""
    card = DeviceLock(tmp_path / "card.lock")
    monkeypatch.setattr(Places, "of", lambda device: Places(2, card))
    real, alone = sitting.run_stage, []

    def unlucky(*given):
        alone.append(card._alone is not None)
        if len(alone) == 1:
            return Crashed(stage="core", signal="CUDA_ERROR_OUT_OF_MEMORY", detail="")
        return real(*given)

    monkeypatch.setattr(sitting, "run_stage", unlucky)
    with Judge(problem, reference) as judge:
        outcome = judge.judge(cpp(silu), "search").outcome
    assert isinstance(outcome, Passed)
    assert alone[:2] == [False, True]


class Counted(DeviceLock):
    """A lock that knows how often somebody who held it gave way."""

    given = 0

    def give_way(self, *given):
        self.given += self._is_mine
        return super().give_way(*given)


@pytest.mark.usefixtures("untimed")
def test_another_judge_may_measure_between_any_two_calls_of_a_verification(
    problem, reference, cpp, silu, monkeypatch, tmp_path
):
    card = Counted(tmp_path / "card.lock")
    monkeypatch.setattr(Places, "of", lambda device: Places(2, card))
    with Judge(problem, reference) as judge:
        evaluation = judge.judge(cpp(silu), "search")
    assert isinstance(evaluation.outcome, Passed)
    compared = next(c.count for c in evaluation.checks if "float64 oracle" in c.name)
    assert card.given >= compared > 10


MOVED = Rejected(rule="not_standing_still", evidence="The device was busy.")


@pytest.mark.parametrize(
    ("device", "said", "expected"),
    [
        ("cuda", [MOVED, "times"], "times"),  # a neighbour's doing
        ("cuda", [MOVED, MOVED], MOVED),
        ("cuda", [Rejected(rule="late_outputs", evidence="."), "times"], "late_outputs"),
        ("cpu", [MOVED, "times"], MOVED),  # a process's own processor time is nobody else's
    ],
)
def test_who_found_a_busy_device_is_timed_again(cpp, silu, monkeypatch, device, said, expected):
    monkeypatch.setattr(sitting, "Timed", str)
    answers = iter(said)
    room = SimpleNamespace(
        device=device, folder=Path(),
        builder=SimpleNamespace(quiet=contextlib.nullcontext),
        bench=SimpleNamespace(time=lambda *given: next(answers)),
    )  # fmt: skip
    one = sitting.Sitting(room, cpp(silu), None, "promotion")
    if expected == "times":
        assert one._time(None) == expected
        assert one.findings.checks["timed again, since the device was busy"] == 1
    else:
        with pytest.raises(sitting._Ended) as ended:
            one._time(None)
        assert ended.value.outcome.rule == getattr(expected, "rule", expected)
