"""Timing: candidate and baselines in turn, on the broker's clock, every timed output checked.

A *block* is a secret number of calls that a process makes on one command; the broker's clock runs
from the command to the reply. What is stored is each block's calls and nanoseconds, and the round
trip of a block of no work, measured on a trusted process of the same kind.

The time per call is (block − round trip) / calls and not the slope over different counts: a
candidate that knows the count could slow its small blocks and flatten the slope, whereas here
any delay, wherever it is, counts against it. What a block could hide is work shared between its
calls; `cross_check` looks for that by giving calls one by one.

Within one life a candidate never sees the same inputs twice, so there is nothing that it could
remember an answer from. When a life has met all inputs, it ends, and another begins. What happens
around one block is in `turns`, and on a GPU in `device_turns`: there calls are queued before the
clock runs. When somebody's calls cannot be queued, nobody's are.

A round in which something had to wait for a processor (`pressure`), or in which the clock of a GPU
sagged (`clocks`), is left out, unless there are too few others.
"""

from __future__ import annotations

import random
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kernelwright.core.candidate import Lane
from kernelwright.core.evaluation import (
    Clock,
    Crashed,
    Measurement,
    Regime,
    Rejected,
    TimedOut,
    WrongResult,
)
from kernelwright.core.statistics import CANDIDATE, CONTROL, Estimate, baselines, median_ns, speedup
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.running.life import LifeEnded
from kernelwright.evaluate.running.pressure import disturbed, waited_us
from kernelwright.evaluate.running.runner import Body
from kernelwright.evaluate.timing.baseline import Baseline
from kernelwright.evaluate.timing.clocks import Clocks
from kernelwright.evaluate.timing.device_turns import Blocked
from kernelwright.evaluate.timing.grounds import Asked, Grounds, Turns
from kernelwright.evaluate.timing.rounds import SINGLE, Precision, Rounds
from kernelwright.evaluate.timing.staging import TimedCases
from kernelwright.evaluate.timing.turns import Answers, Spare

# Blocks of one round have the same calls, so that who is slow makes them shorter for the others.
_LONGEST_BLOCK_NS = 50_000_000
_SLOW_CALL_NS = 5_000_000  # a call this long needs no call before it to wake the threads
# Below this a single call is mostly its own round trip, and says nothing.
_SINGLE_CALL_NS = 50_000
# How much of the speedup in blocks may be missing when calls come one by one.
_KEPT_ALONE = 0.75
_TRIES_ALONE = 3

_COOLING_S = 0.1  # after a round in which the clock of a GPU sagged
_BLOCKED = 3  # so often a single call cannot be queued until none is

Failure = WrongResult | Crashed | TimedOut | Rejected


@dataclass(frozen=True, kw_only=True)
class Session:
    """What timing needs besides the candidate: the inputs, the baselines, where both are timed,
    and the round trips."""

    cases: TimedCases
    baseline: Baseline
    grounds: Grounds
    runner_overhead_ns: int
    baseline_overhead_ns: int
    queued: bool = False  # whether calls are queued before the clock runs
    clocks: Clocks = field(default_factory=Clocks)
    spare: Spare = field(default_factory=Spare)


class Timer:
    """Times one candidate against some of the baselines."""

    def __init__(
        self,
        session: Session,
        body: Body,
        subjects: Sequence[str],
        *,
        lane: Lane,
        defences: Defences,
        control: str | None = None,
        compares_later: bool = False,
    ):
        """With `compares_later` nobody looks at outputs before `wrong` is asked."""
        self._session = session
        self._body = body
        self._lane = lane
        self._queued = session.queued
        self._largest: dict[str, int] = {}  # where blocks of more calls could not be queued
        self._blocked = 0
        self._defences = defences
        self._rivals = {name: name for name in subjects}
        if control is not None:
            self._rivals[CONTROL] = control
        self._random = random.Random(secrets.randbits(64))
        self._answers = Answers(session.cases, session.spare)
        self._compares_later = compares_later
        self.notes: Counter[str] = Counter()
        self.disturbed = 0
        self.sagged = 0
        self._discarded = 0
        session.clocks.begin()

    @property
    def checked_calls(self) -> int:
        """How many timed outputs were compared so far."""
        return self._answers.count

    def measure(self, regime: Regime, precision: Precision) -> tuple[Measurement, ...] | Failure:
        """Blocks of every subject in `regime`, paired, until `precision` is reached.

        Raises:
            FaultError: the sandbox or the baselines broke.
        """
        rounds = self._rounds(precision)
        while True:
            try:
                self._one_life(regime, rounds)
            except LifeEnded as ended:
                return ended.outcome
            except Blocked:
                # A kernel that was never launched is loaded first, and a device waits for that.
                self._blocked += 1
                self._queued = self._blocked < _BLOCKED
                rounds = self._rounds(precision)
                continue
            wrong = None if self._compares_later else self.wrong()
            if wrong is not None:
                return wrong
            if self._known(regime, rounds):
                self._note(rounds)
                return self._measurements(regime, rounds)

    def _rounds(self, precision: Precision) -> Rounds:
        return Rounds((CANDIDATE, *self._rivals), precision, self._session.clocks)

    def wrong(self) -> WrongResult | None:
        """What is wrong with the timed outputs that nobody has compared yet."""
        mismatches = self._answers.mismatches()
        if self._compares_later:
            self._answers.forget()
        return WrongResult(mismatches=tuple(mismatches)) if mismatches else None

    def _note(self, rounds: Rounds) -> None:
        kept = set(rounds.kept)
        left = [number for number in range(len(rounds)) if number not in kept]
        sagged = sum(rounds.sagged[number] for number in left)
        self.notes["timed rounds"] += len(kept)
        self.notes["timed rounds left out, the machine being busy"] += len(left) - sagged
        self.notes["timed rounds left out, the GPU's clock having sagged"] += sagged
        self.disturbed += sum(not rounds.quiet[number] for number in kept)
        self.sagged += sum(rounds.sagged[number] for number in kept)
        self._discarded += sagged * len(rounds.blocks)

    @property
    def clock(self) -> Clock | None:
        """How the GPU ran meanwhile; None where nobody could look."""
        return self._session.clocks.record(self._discarded)

    def cross_check(self, measured: Sequence[Measurement]) -> Failure | None:
        """Time the calls one by one, and compare with `measured` in the regime "returned".

        A candidate that shares work between the calls of a block (all of them done in the first,
        say) is that much slower when the next inputs are not there yet.
        """
        subjects = {m.subject: m for m in measured if m.regime == "returned"}
        ours, rivals = subjects[CANDIDATE], baselines(subjects)
        if median_ns(ours) < _SINGLE_CALL_NS:
            return None
        name = min(rivals, key=lambda rival: median_ns(rivals[rival]))
        kept, self._rivals = self._rivals, {name: name}
        try:
            return self._alone(speedup(ours, rivals[name]), name)
        finally:
            self._rivals = kept

    def _alone(self, blocks: Estimate, rival: str) -> Failure | None:
        """Whether calls one by one keep up with `blocks`, at their best and in one of a few tries:
        on a busy machine most of them wait for a processor, and look as if they shared work. Those
        that do are slow even at their best, since their inputs come just before them."""
        found = None
        for _ in range(_TRIES_ALONE):
            single = self.measure("returned", SINGLE)
            if not isinstance(single, tuple):
                return single
            alone = {m.subject: m for m in single}
            self.notes["calls timed one by one"] += len(alone[CANDIDATE].calls)
            theirs_ns, ours_ns = min(alone[rival].samples_ns), min(alone[CANDIDATE].samples_ns)
            found = _compared(blocks, ours_ns, theirs_ns)
            if found is None:
                break
        return found

    @property
    def queued(self) -> bool:
        """Whether calls were queued before the clock ran."""
        return self._queued

    def _one_life(self, regime: Regime, rounds: Rounds) -> None:
        """Blocks until the inputs are used up."""
        grounds = self._session.grounds
        asked = Asked(
            regime=regime, lane=self._lane, random=self._random, defences=self._defences,
            queued=self._queued,
        )  # fmt: skip
        self._theirs = grounds.rivals(self._random, queued=self._queued)
        with grounds.life(self._body, self._lane) as running:
            ours = grounds.turns(running, self._answers, asked)
            ours.start()
            self._warm_up(ours, regime, rounds.estimate_ns)
            while ours.left > 1 and not self._known(regime, rounds):
                self._round(ours, regime, rounds)

    def _round(self, ours: Turns, regime: Regime, rounds: Rounds) -> None:
        """One block of everybody, in random order; none where somebody's could not be queued."""
        clocks = self._session.clocks
        waited, started = waited_us(), time.monotonic()
        taken: dict[str, tuple[int, int]] = {}
        mhz: dict[str, int | None] = {}
        counts = self._counts(ours, rounds)
        lead = self._leads(CANDIDATE, rounds.estimate_ns)
        cases = ours.upcoming(counts[CANDIDATE], lead=lead)
        for name in self._random.sample(list(rounds.blocks), len(rounds.blocks)):
            calls = counts[name]
            clocks.of_block()  # whatever was seen before is no part of it
            try:
                taken[name] = self._block(name, calls, ours, regime, rounds.estimate_ns, cases)
            except Blocked:
                if calls == 1:
                    raise
                self._largest[name] = calls // 2
                return
            mhz[name] = clocks.of_block()
        quiet = not disturbed(waited, waited_us(), time.monotonic() - started)
        clocks.note(mhz)
        rounds.add(taken, quiet=quiet, mhz=mhz)
        if rounds.sagged[-1]:
            time.sleep(_COOLING_S)

    def _block(
        self,
        name: str,
        calls: int,
        ours: Turns,
        regime: Regime,
        estimate_ns: dict[str, float],
        cases: Sequence[int] = (),
    ) -> tuple[int, int]:
        """The calls that a block of `name` had, and its nanoseconds; its estimate follows. A
        rival's are on `cases`, which are the candidate's of this round, where there are any."""
        known_ns = estimate_ns.get(name, float("inf"))
        lead = self._leads(name, estimate_ns)
        if name == CANDIDATE:
            calls = min(calls, ours.left - lead)
            elapsed = ours.take(calls, lead=lead)
        else:
            rival = self._rivals[name]
            elapsed = self._theirs.take(rival, regime, calls, lead=lead, cases=cases)
        spent = elapsed - (self._overhead_ns(name) if self._queued else 0)
        estimate_ns[name] = min(known_ns, max(spent, 1) / calls)
        return calls, elapsed

    def _warm_up(self, ours: Turns, regime: Regime, estimate_ns: dict[str, float]) -> None:
        """Two calls of the candidate, and in the first life of each rival; sets the first
        estimates."""
        self._block(CANDIDATE, 1, ours, regime, estimate_ns)
        for name in self._rivals:
            if name not in estimate_ns:
                self._block(name, 1, ours, regime, estimate_ns)

    def _leads(self, name: str, estimate_ns: Mapping[str, float]) -> bool:
        """Whether a block of `name` follows on an untimed call."""
        return estimate_ns.get(name, 0.0) <= _SLOW_CALL_NS

    def _counts(self, ours: Turns, rounds: Rounds) -> dict[str, int]:
        """A secret number of calls that fills a block, for each subject. Where all are to have the
        same calls, whoever is the fastest fills one, unless that took the slowest too long."""
        if not self._session.grounds.paired:
            return {name: self._count(name, rounds) for name in rounds.blocks}
        fastest = min(rounds.blocks, key=rounds.estimate_ns.__getitem__)
        slowest_ns = max(rounds.estimate_ns[name] for name in rounds.blocks)
        bearable = max(1, int(_LONGEST_BLOCK_NS / max(slowest_ns, 1)))
        left = ours.left - self._leads(CANDIDATE, rounds.estimate_ns)
        calls = min(self._count(fastest, rounds), bearable, left)
        return dict.fromkeys(rounds.blocks, calls)

    def _count(self, name: str, rounds: Rounds) -> int:
        """A secret number of calls that fills a block of `name`."""
        grounds, estimate_ns = self._session.grounds, rounds.estimate_ns[name]
        largest = rounds.precision.largest or grounds.most
        largest = min(largest, self._largest.get(name, largest))
        least = max(1, min(round(grounds.block_ns / max(estimate_ns, 1)), largest // 2))
        return min(self._random.randint(least, 2 * least), largest)

    def _overhead_ns(self, name: str) -> int:
        session = self._session
        if name == CANDIDATE and self._lane == "native":
            return session.runner_overhead_ns
        return session.baseline_overhead_ns

    def _measurements(self, regime: Regime, rounds: Rounds) -> tuple[Measurement, ...]:
        session, kept = self._session, rounds.kept
        return tuple(
            Measurement(
                workload_id=session.cases.workload.id,
                subject=name,
                repeats=self._rivals[name] if name == CONTROL else None,
                regime=regime,
                calls=tuple(taken.calls[number] for number in kept),
                elapsed_ns=tuple(taken.elapsed_ns[number] for number in kept),
                overhead_ns=self._overhead_ns(name),
                clock="queued" if self._queued else "broker",
            )
            for name, taken in rounds.blocks.items()
        )

    def _known(self, regime: Regime, rounds: Rounds) -> bool:
        """Whether the speedup is known as well as was asked for, or no further round is made."""
        if rounds.over or sum(rounds.good) < rounds.precision.least:
            return rounds.over
        subjects = {m.subject: m for m in self._measurements(regime, rounds)}
        best = min(baselines(subjects).values(), key=median_ns)
        return speedup(subjects[CANDIDATE], best).half_width < rounds.precision.half_width


def _compared(blocks: Estimate, ours_ns: float, theirs_ns: float) -> Rejected | None:
    """What a speedup in `blocks` comes to where single calls take this long at their best."""
    alone = theirs_ns / ours_ns
    # Who is not faster in blocks has gained nothing from them.
    if blocks.ci_high <= 1 or alone >= _KEPT_ALONE * blocks.ci_low:
        return None
    return Rejected(
        rule="timing_inconsistent",
        evidence=f"In blocks of many calls it is {blocks.median:.2f} times as fast as the "
        f"baseline, and at best {alone:.2f} times when calls come one by one "
        f"({theirs_ns / 1000:.1f} µs against {ours_ns / 1000:.1f} µs). It shares work between "
        "calls that a user makes one after another.",
    )
