"""Where somebody's calls cannot be queued on a GPU: fewer of them, and in the end nobody's are."""

import contextlib
from types import SimpleNamespace

import pytest

from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.timing import device_turns
from kernelwright.evaluate.timing.device_turns import Blocked, Opener
from kernelwright.evaluate.timing.rounds import Precision
from kernelwright.evaluate.timing.timer import Session, Timer

PRECISION = Precision(least=3, most=3, half_width=0.01, limit_s=5.0)
CALL_NS = {"candidate": 10_000, "eager": 20_000}


class Turns:
    """Blocks of calls that take what they take; more than `most` queued ones are blocked."""

    def __init__(self, subject, most, queued, seen):
        self.subject, self.most, self.queued, self.seen = subject, most, queued, seen
        self.left = 64

    def start(self):
        pass

    def upcoming(self, calls, *, lead):
        return ()

    def take(self, *asked, lead, cases=()):
        *_, calls = asked
        if self.queued and calls > self.most:
            self.seen.append((self.subject, "blocked", calls))
            raise Blocked
        self.seen.append((self.subject, "queued" if self.queued else "called", calls))
        return calls * CALL_NS[self.subject] + 1000


class Grounds:
    """Where the candidate and eager can queue as many calls as `most` says."""

    most, block_ns = 64, 400_000
    paired = False

    def __init__(self, **most):
        self.limits, self.seen = most, []

    @contextlib.contextmanager
    def life(self, body, lane):
        yield None

    def turns(self, running, answers, asked):
        return Turns("candidate", self.limits["candidate"], asked.queued, self.seen)

    def rivals(self, source, *, queued):
        return Turns("eager", self.limits["eager"], queued, self.seen)


def measured(grounds):
    session = Session(
        cases=SimpleNamespace(workload=SimpleNamespace(id="report")), baseline=None,
        grounds=grounds, runner_overhead_ns=1000, baseline_overhead_ns=1000, queued=True,
    )  # fmt: skip
    timer = Timer(session, None, ["eager"], lane="native", defences=ALL_ON)
    return timer, timer.measure("returned", PRECISION)


def test_calls_that_can_be_queued_are():
    grounds = Grounds(candidate=64, eager=64)
    timer, found = measured(grounds)
    assert timer.queued
    assert {m.clock for m in found} == {"queued"}
    assert {how for _, how, _ in grounds.seen} == {"queued"}
    assert {round(ns) for m in found if m.subject == "candidate" for ns in m.samples_ns} == {10_000}


def test_too_many_calls_become_fewer():
    grounds = Grounds(candidate=64, eager=5)
    timer, found = measured(grounds)
    assert timer.queued
    eager = next(m for m in found if m.subject == "eager")
    assert max(eager.calls) <= 5
    assert len({len(m.calls) for m in found}) == 1


@pytest.mark.parametrize("waits", ["candidate", "eager"])
def test_when_one_waits_for_the_device_nobody_is_queued(waits):
    grounds = Grounds(**({"candidate": 64, "eager": 64} | {waits: 0}))
    timer, found = measured(grounds)
    assert not timer.queued
    assert {m.clock for m in found} == {"broker"}
    assert {"candidate", "eager"} == {who for who, how, _ in grounds.seen if how == "called"}


def test_a_gate_is_opened_once_when_queueing_takes_too_long(monkeypatch):
    opened = []
    opener = Opener(SimpleNamespace(open=lambda: opened.append(1)))
    assert not opener()
    assert not opener.opened
    opener._deadline = 0
    assert not opener()
    assert not opener()
    assert opener.opened
    assert opened == [1]


@pytest.mark.parametrize(
    ("took_ms", "shared"),
    [
        ([], False),
        ([3], False),  # it waited for a processor
        ([3, 3, 0, 3], False),
        ([3, 3, 0, 3, 0, 3], True),  # most looks
        ([3, 3, 3, 3, 3, 3], True),
    ],
)
def test_a_device_is_shared_when_most_looks_at_it_take_long(took_ms, shared, monkeypatch):
    left, now = list(took_ms), [0]

    def sample():
        now[0] += left.pop(0) * 1_000_000 if left else 100_000

    monkeypatch.setattr(device_turns, "time", SimpleNamespace(perf_counter_ns=lambda: now[0]))
    assert device_turns.is_shared(sample) is shared
