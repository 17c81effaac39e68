"""A processor takes longer for some values than for others, so all are timed on the same ones."""

import contextlib
import random
import statistics
from types import SimpleNamespace

import pytest

from kernelwright.core.statistics import speedup
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.timing.rounds import Precision
from kernelwright.evaluate.timing.staging import TimedCases
from kernelwright.evaluate.timing.timer import Session, Timer
from kernelwright.evaluate.timing.turns import RivalTurns
from kernelwright.testing.evaluators import row_problem

PRECISION = Precision(least=12, most=12, half_width=0.0, limit_s=5.0)
CASES = 48
SLOW = 7  # times as long, on every third case


class Candidate:
    """Meets each case once. Every call takes `call_ns`, and longer on some cases."""

    def __init__(self, call_ns):
        self.call_ns, self.unused = call_ns, list(range(CASES))
        random.Random(5).shuffle(self.unused)

    def start(self):
        pass

    @property
    def left(self):
        return len(self.unused)

    def upcoming(self, calls, *, lead):
        end = len(self.unused) - lead
        return self.unused[end - calls : end]

    def take(self, calls, *, lead):
        if lead:
            self.unused.pop()
        return sum(takes(self.call_ns, self.unused.pop()) for _ in range(calls))


class Rival:
    def __init__(self, call_ns, source, asked):
        self.call_ns, self.source, self.asked = call_ns, source, asked

    def take(self, _subject, _regime, calls, *, lead, cases=()):
        self.asked.append((calls, tuple(cases)))
        met = cases or self.source.sample(range(CASES), calls)
        return sum(takes(self.call_ns, case) for case in met)


def takes(call_ns, case):
    return call_ns * (SLOW if case % 3 == 0 else 1)


class Grounds:
    most, block_ns = 16, 2_000_000

    def __init__(self, paired, candidate_ns, rival_ns):
        self.paired, self.ns, self.asked = paired, (candidate_ns, rival_ns), []

    @contextlib.contextmanager
    def life(self, body, lane):
        yield None

    def turns(self, running, answers, asked):
        return Candidate(self.ns[0])

    def rivals(self, source, *, queued):
        return Rival(self.ns[1], source, self.asked)


def measured(grounds):
    session = Session(
        cases=SimpleNamespace(workload=SimpleNamespace(id="report")), baseline=None,
        grounds=grounds, runner_overhead_ns=0, baseline_overhead_ns=0,
    )  # fmt: skip
    timer = Timer(session, None, ["eager"], lane="native", defences=ALL_ON)
    return {m.subject: m for m in timer.measure("returned", PRECISION)}


def test_the_same_calls_on_the_same_inputs_leave_the_ratio_alone():
    found = measured(Grounds(True, 200_000, 400_000))
    ratio = speedup(found["candidate"], found["eager"])
    assert (ratio.median, ratio.ci_low, ratio.ci_high) == pytest.approx((2.0, 2.0, 2.0))
    assert found["candidate"].calls == found["eager"].calls


def test_other_inputs_for_each_would_not():
    found = measured(Grounds(False, 200_000, 400_000))
    ratio = speedup(found["candidate"], found["eager"])
    assert ratio.ci_high - ratio.ci_low > 0.2


def test_the_fastest_fills_a_block_unless_the_slowest_took_too_long():
    quick = measured(Grounds(True, 1_000, 100_000))
    # A life ends with a block of what is left.
    assert statistics.median(quick["candidate"].calls) >= 8
    slow = measured(Grounds(True, 30_000_000, 10_000))
    assert set(slow["candidate"].calls) == {1}


def test_a_rival_is_given_the_cases_that_it_is_told():
    put = []
    staging = SimpleNamespace(slots=8, put=lambda slot, case: put.append((slot, case)))
    baseline = SimpleNamespace(
        stage=lambda _subject, first, count: put.append((first, count)),
        time=lambda _regime, calls: 1000 * calls,
    )
    cases = SimpleNamespace(cases=[f"case {i}" for i in range(9)])
    turns = RivalTurns(cases, staging, baseline, random.Random(1))
    assert turns.take("eager", "returned", 3, lead=False, cases=[4, 0, 8]) == 3000
    first, count = put.pop()
    assert count == 3
    assert put == [(first, "case 4"), (first + 1, "case 0"), (first + 2, "case 8")]


@pytest.mark.parametrize(("gpu", "timed"), [(False, False), (True, True)])
def test_numbers_that_trap_to_microcode_are_not_timed_on_a_processor(gpu, timed):
    cases = TimedCases(row_problem(), ["file", "normal", "denormal", "large"], gpu=gpu)
    assert ("denormal" in cases._names) is timed
    assert {"file", "normal", "large"} <= set(cases._names)
