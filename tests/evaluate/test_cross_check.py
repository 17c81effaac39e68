"""Calls one by one against calls in blocks: who shares work is caught, and bad luck is not."""

import contextlib
from types import SimpleNamespace

import pytest

from kernelwright.core.evaluation import Rejected
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.timing.rounds import Precision
from kernelwright.evaluate.timing.timer import Session, Timer

PRECISION = Precision(least=8, most=8, half_width=0.01, limit_s=5.0)
EAGER_NS, CANDIDATE_NS, SLOWED_NS = 200_000, 100_000, 400_000


class Turns:
    """Turns that take what `call_ns` says of so many calls, and of four single calls three wait
    for so long."""

    left = 64

    def __init__(self, call_ns, waits_ns):
        self.call_ns, self.waits_ns, self.taken = call_ns, waits_ns, 0

    def start(self):
        pass

    def upcoming(self, calls, *, lead):
        return ()

    def take(self, *asked, lead, cases=()):
        *_, calls = asked
        self.taken += 1
        waited_ns = self.waits_ns if calls == 1 and self.taken % 4 else 0
        return round(calls * self.call_ns(calls)) + waited_ns


class Grounds:
    """Where a single call of the candidate takes `alone_ns` in the measurement of that number."""

    most, block_ns = 64, 2_000_000
    paired = False

    def __init__(self, alone_ns, waits_ns):
        self.alone_ns, self.waits_ns = alone_ns, waits_ns
        self.lives = 0

    @contextlib.contextmanager
    def life(self, body, lane):
        self.lives += 1
        yield None

    def turns(self, running, answers, asked):
        alone_ns = self.alone_ns[min(self.lives, len(self.alone_ns)) - 1]
        # A first call that waits would make the first measurement's blocks ones of single calls.
        waits_ns = self.waits_ns if self.lives > 1 else 0
        return Turns(lambda calls: alone_ns if calls == 1 else CANDIDATE_NS, waits_ns)

    def rivals(self, source, *, queued):
        return Turns(lambda calls: EAGER_NS, 0)


def checked(*alone_ns, waits_ns=0):
    """What the check says when the first measurement is of blocks and the others of single calls;
    and how many there were."""
    grounds = Grounds((CANDIDATE_NS, *alone_ns), waits_ns)
    session = Session(
        cases=SimpleNamespace(workload=SimpleNamespace(id="report")), baseline=None,
        grounds=grounds, runner_overhead_ns=0, baseline_overhead_ns=0,
    )  # fmt: skip
    timer = Timer(session, None, ["eager"], lane="native", defences=ALL_ON)
    measured = timer.measure("returned", PRECISION)
    return timer.cross_check(measured), grounds.lives - 1


def test_calls_that_keep_up_pass_at_once():
    assert checked(CANDIDATE_NS) == (None, 1)


def test_who_shares_work_between_calls_is_rejected():
    found, tries = checked(SLOWED_NS)
    assert isinstance(found, Rejected)
    assert found.rule == "timing_inconsistent"
    assert tries == 3


@pytest.mark.parametrize("unlucky", [1, 2])
def test_a_busy_moment_is_not_held_against_anybody(unlucky):
    assert checked(*[SLOWED_NS] * unlucky, CANDIDATE_NS) == (None, unlucky + 1)


def test_single_calls_that_mostly_wait_for_a_processor_are_seen_at_their_best():
    assert checked(CANDIDATE_NS, waits_ns=5_000_000) == (None, 1)
    found, _ = checked(SLOWED_NS, waits_ns=5_000_000)
    assert isinstance(found, Rejected)
