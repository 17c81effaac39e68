"""The clock of a GPU beside blocks: rounds in which it sagged are left out, counted and said."""

import contextlib
from types import SimpleNamespace

import pytest

from kernelwright.core.cards import Card
from kernelwright.core.nvml import NotTold, Nvml, Pace, Warmth
from kernelwright.evaluate.defences import ALL_ON
from kernelwright.evaluate.timing import timer as timing
from kernelwright.evaluate.timing.bench import _disturbances
from kernelwright.evaluate.timing.clocks import SUBJECT, Clocks
from kernelwright.evaluate.timing.rounds import Precision, Rounds
from kernelwright.evaluate.timing.timer import Session, Timer

PRECISION = Precision(least=4, most=4, half_width=0.01, limit_s=5.0)
FULL_MHZ, SLOW_MHZ = 1980, 1300


class Card_:
    """A GPU that gets slower in some of its blocks, and takes that much longer."""

    def __init__(self, slow):
        self.slow, self.block, self.looks = set(slow), 0, 0

    @property
    def mhz(self):
        return SLOW_MHZ if self.block in self.slow else FULL_MHZ

    def pace(self):
        self.looks += 1
        return Pace(self.mhz, 0x20 if self.mhz == SLOW_MHZ else 0)


class Turns:
    def __init__(self, card, clocks):
        self.card, self.clocks, self.left = card, clocks, 1 << 20

    def start(self):
        pass

    def upcoming(self, calls, *, lead):
        return ()

    def take(self, *asked, lead, cases=()):
        self.clocks.look()
        elapsed = asked[-1] * round(10_000 * FULL_MHZ / self.card.mhz)
        self.clocks.look()
        self.card.block += 1
        return elapsed


class Grounds:
    most, block_ns = 64, 400_000
    paired = False

    def __init__(self, card, clocks):
        self.card, self.clocks = card, clocks

    @contextlib.contextmanager
    def life(self, body, lane):
        yield None

    def turns(self, running, answers, asked):
        return Turns(self.card, self.clocks)

    def rivals(self, source, *, queued):
        return Turns(self.card, self.clocks)


@pytest.fixture
def measured(monkeypatch):
    monkeypatch.setattr(timing, "waited_us", lambda: None)

    def measure(card, clocks, precision=PRECISION):
        session = Session(
            cases=SimpleNamespace(workload=SimpleNamespace(id="report")), baseline=None,
            grounds=Grounds(card, clocks), runner_overhead_ns=0, baseline_overhead_ns=0,
            queued=True, clocks=clocks,
        )  # fmt: skip
        timer = Timer(session, None, ["eager"], lane="native", defences=ALL_ON)
        return timer, timer.measure("returned", precision)

    return measure


def samples(found):
    return {round(ns) for m in found for ns in m.samples_ns}


def test_a_round_in_which_the_clock_sagged_is_left_out_and_another_is_made(measured):
    # Two blocks warm up; each round has two more.
    card = Card_(slow={4, 9})
    clocks = Clocks(card.pace, lambda: Warmth(70, 650.5))
    timer, found = measured(card, clocks)
    assert samples(found) == {10_000}
    assert [len(m.calls) for m in found] == [4, 4]
    assert timer.notes["timed rounds left out, the GPU's clock having sagged"] == 2
    clock = timer.clock
    assert (clock.median_mhz, clock.lowest_mhz) == (FULL_MHZ, SLOW_MHZ)
    assert (clock.blocks, clock.discarded_blocks) == (12, 4)
    assert clock.throttle_reasons == ("thermal slowdown",)
    assert (clock.warmest_c, clock.most_w) == (70, 650.5)
    assert _disturbances(timer, clocks) == ()


def test_where_it_sags_all_the_time_all_rounds_count_and_that_is_said(measured):
    card = Card_(slow=range(2, 1000))
    clocks = Clocks(card.pace)
    for _ in range(50):
        clocks.note({"eager": FULL_MHZ})
    precision = Precision(least=3, most=3, half_width=0.01, limit_s=0.1)
    timer, found = measured(card, clocks, precision)
    assert samples(found) == {round(10_000 * FULL_MHZ / SLOW_MHZ)}
    assert timer.clock.discarded_blocks == 0
    (said,) = _disturbances(timer, clocks)
    assert said.startswith("a steady GPU: its clock was below 90%")


def test_a_subject_that_always_runs_slower_does_not_sag(measured):
    clocks = Clocks(lambda: None)
    for _ in range(5):
        clocks.note({"candidate": SLOW_MHZ, "eager": FULL_MHZ})
    assert not clocks.sagged({"candidate": SLOW_MHZ, "eager": FULL_MHZ})
    assert clocks.sagged({"candidate": SLOW_MHZ, "eager": SLOW_MHZ})
    clocks.begin()
    # Another candidate may run as fast as it likes; the baselines are the same as before.
    assert not clocks.sagged({"candidate": 800, "eager": FULL_MHZ})
    assert clocks.sagged({"candidate": 800, "eager": SLOW_MHZ})


def test_a_card_that_sags_all_the_time_of_a_candidate_is_seen_by_its_baselines(measured):
    clocks = Clocks()
    steady, hot = Card_(slow=()), Card_(slow=range(1000))
    clocks.pace = steady.pace
    measured(steady, clocks, Precision(least=20, most=20, half_width=0.01, limit_s=5.0))
    clocks.pace = hot.pace
    timer, _ = measured(hot, clocks, Precision(least=3, most=3, half_width=0.01, limit_s=0.1))
    assert timer.sagged >= 3
    assert timer.clock.lowest_mhz == SLOW_MHZ


def test_there_are_two_looks_for_each_block_and_none_within(measured):
    card = Card_(slow=())
    measured(card, Clocks(card.pace))
    assert card.looks == 2 * card.block


def test_a_card_that_was_idle_before_a_block_did_not_sag():
    paces = [Pace(345, 1), Pace(1980, 0), Pace(345, 1), Pace(350, 1)]
    clocks = Clocks(lambda: paces.pop(0))
    clocks.look()
    clocks.look()
    assert clocks.of_block() == 1980
    clocks.look()
    clocks.look()
    assert clocks.of_block() == 345
    assert clocks.of_block() is None


def test_what_cannot_be_seen_is_said_and_changes_nothing(measured):
    def refused():
        raise NotTold("nvmlDeviceGetClockInfo: Insufficient Permissions")

    card, clocks = Card_(slow=range(2, 1000, 2)), Clocks(refused)
    timer, found = measured(card, clocks)
    assert [len(m.calls) for m in found] == [4, 4]
    assert timer.clock is None
    why = f"{SUBJECT}: nvmlDeviceGetClockInfo: Insufficient Permissions"
    assert _disturbances(timer, clocks) == (why,)


def test_where_there_is_no_card_nobody_looks_and_nothing_is_said(measured):
    timer, _ = measured(Card_(slow=()), Clocks())
    assert timer.clock is None
    assert _disturbances(timer, Clocks()) == ()


def test_time_is_given_again_to_a_gpu_that_sags_but_not_for_ever(monkeypatch):
    clocks = Clocks(lambda: Pace(FULL_MHZ, 0))
    for _ in range(10):
        clocks.note({"candidate": FULL_MHZ})
    rounds = Rounds(["candidate"], PRECISION, clocks)
    for _ in range(4):
        rounds.add({}, quiet=True, mhz={"candidate": SLOW_MHZ})
    now = rounds._deadline
    monkeypatch.setattr("time.monotonic", lambda: now + 1)
    assert not rounds.over
    now += PRECISION.limit_s
    assert rounds.over


def test_a_card_is_looked_at_by_its_uuid(fake_nvml, monkeypatch):
    clocks = Clocks.of(Card("GPU-bbbb-2", "GPU-bbbb-2"), Nvml(fake_nvml))
    monkeypatch.setenv("FAKE_NVML_MHZ", "1755")
    monkeypatch.setenv("FAKE_NVML_REASONS", "4")
    clocks.look()
    monkeypatch.setenv("FAKE_NVML_MHZ", "1700")
    clocks.look()
    slower = clocks.of_block()
    assert slower == 1700
    clocks.note({"eager": slower})
    clock = clocks.record(0)
    assert (clock.throttle_reasons, clock.warmest_c, clock.most_w) == (("power cap",), 41, 312.5)


def test_a_driver_that_never_answers_ends_no_measurement(fake_nvml, measured, monkeypatch):
    monkeypatch.setenv("FAKE_NVML_HANGS", "1")
    card = Card("GPU-bbbb-2", "GPU-bbbb-2")
    clocks = Clocks.of(card, Nvml(fake_nvml, limit_s=0.2))
    _, found = measured(Card_(slow=()), clocks)
    assert len(found) == 2
    assert "did not answer" in clocks.why_not
