"""Many candidates for one judge of paper: order, faults, duplicates."""

import contextlib
import threading
from concurrent.futures import Future

import pytest

from kernelwright.core.errors import SandboxError, Unavailable, UnknownName
from kernelwright.core.evaluation import Evaluation, Fault
from kernelwright.evaluate.batch import NoCandidate, judge_many, read_candidate
from kernelwright.evaluate.verdicts import REPEATED, Verdicts
from kernelwright.testing.evaluators import (
    evaluation_of,
    number_candidate,
    passed,
    row_problem,
    verdict,
)


class Paper:
    """Builds end when the test says so; verdicts are in the candidates' texts."""

    places = 1

    def __init__(self, faults=()):
        self.builds = {}
        self.judged = []
        self.faults = list(faults)

    def ahead(self, candidate):
        self.builds[candidate.id] = Future()
        return self.builds[candidate.id]

    def judge(self, candidate, effort):
        self.judged.append(candidate.id)
        if self.faults:
            raise self.faults.pop(0)
        return evaluation_of(candidate, verdict(candidate), effort)

    def refuse(self, candidate, effort, evidence):
        raise NotImplementedError


class Ready(Paper):
    """Has nothing to build."""

    def ahead(self, candidate):
        return None


def many(judge, candidates, **given):
    return judge_many(judge, candidates, "search", pause_s=0.0, **given)


def test_what_is_built_first_is_judged_first_and_keeps_its_place():
    judge, candidates = Paper(), [number_candidate(n) for n in (1, 2, 3)]
    verdicts = many(judge, candidates)
    order = []
    for index in (2, 0, 1):
        # The builds start with the first question, so the first to end must be found later.
        if not judge.builds:
            judge.ahead = lambda c, one=candidates[index]: (
                judge.builds.setdefault(c.id, Future()),
                judge.builds[c.id].set_result(None) if c.id == one.id else None,
            )[0]
        else:
            judge.builds[candidates[index].id].set_result(None)
        place, evaluation = next(verdicts)
        assert evaluation.candidate_id == candidates[place].id
        order.append(place)
    assert order == [2, 0, 1]
    assert list(verdicts) == []


def test_every_candidate_of_a_long_stream_gets_one_verdict():
    numbers = [1 + n / 100 for n in range(200)]
    judge = Ready()
    found = dict(many(judge, (number_candidate(n) for n in numbers)))
    assert sorted(found) == list(range(200))
    assert all(isinstance(one, Evaluation) for one in found.values())


def test_a_stream_is_read_only_a_little_ahead():
    read = []

    def stream():
        for number in range(1000):
            read.append(number)
            yield number_candidate(number + 1)

    next(many(Ready(), stream()))
    assert len(read) < 100


@pytest.mark.parametrize(("faults", "kind"), [(2, Evaluation), (3, Fault)])
def test_our_own_failure_is_tried_twice_more_and_then_said(faults, kind):
    judge = Ready([SandboxError("broke")] * faults)
    first, second = many(judge, [number_candidate(2), number_candidate(3)])
    assert isinstance(first[1], kind)
    assert isinstance(second[1], Evaluation)
    if kind is Fault:
        assert (first[1].where, first[1].message, first[1].retryable) == ("sandbox", "broke", True)


def test_what_no_try_can_change_is_not_tried_again():
    judge = Ready([Unavailable("no compiler")])
    ((_, fault),) = many(judge, [number_candidate(2)])
    assert (fault.message, fault.retryable, len(judge.judged)) == ("no compiler", False, 1)


def test_a_text_without_the_function_is_no_candidate_and_keeps_its_language():
    found = read_candidate(row_problem(), "int x;", "cpp")
    assert isinstance(found, NoCandidate)
    assert "There is no function kernel" in found.evidence
    assert found.candidate.source.text == "int x;"
    half = read_candidate(row_problem(), "// \ud800", "cpp")
    assert "surrogate" in half.evidence
    assert half.candidate.source.text == "// ?"
    with pytest.raises(UnknownName):
        read_candidate(row_problem(), "int x;", "rust")


def test_a_duplicate_gets_the_same_answer_and_is_told_so():
    verdicts, candidate = Verdicts(), number_candidate(2)
    assert verdicts.recall(candidate, "search") is None
    given = evaluation_of(candidate, passed(2.0))
    verdicts.remember(candidate, given)
    again = verdicts.recall(number_candidate(2), "search")
    assert again.outcome == given.outcome
    assert again.not_checked[0] == REPEATED
    assert REPEATED not in given.not_checked
    assert verdicts.recall(candidate, "promotion") is None
    assert verdicts.recall(number_candidate(2.5), "search") is None
    verdicts.forget()
    assert verdicts.recall(candidate, "search") is None


def test_verdicts_are_remembered_up_to_a_number():
    verdicts, candidates = Verdicts(2), [number_candidate(n) for n in (1, 2, 3)]
    for candidate in candidates:
        verdicts.remember(candidate, evaluation_of(candidate, passed(1.0)))
    assert [verdicts.recall(c, "search") is not None for c in candidates] == [False, True, True]


class Wide(Ready):
    """Has places for three, and notes how many are taken."""

    places = 3

    def __init__(self):
        super().__init__()
        self.together = threading.Barrier(3)
        self.most = self.now = 0
        self.lock = threading.Lock()

    def judge(self, candidate, effort):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        with contextlib.suppress(threading.BrokenBarrierError):
            self.together.wait(timeout=5.0)
        with self.lock:
            self.now -= 1
        return super().judge(candidate, effort)


def test_a_judge_with_places_is_asked_about_as_many_at_once():
    judge, candidates = Wide(), [number_candidate(n) for n in range(1, 10)]
    verdicts = dict(many(judge, candidates))
    assert judge.most == 3
    assert {place: v.candidate_id for place, v in verdicts.items()} == {
        place: candidate.id for place, candidate in enumerate(candidates)
    }
