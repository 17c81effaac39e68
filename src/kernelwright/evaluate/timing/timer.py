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
around one block is in `turns`.

A round in which something had to wait for a processor (`pressure`) is left out, unless the machine
is never quiet.
"""

from __future__ import annotations

import random
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernelwright.core.candidate import Lane
from kernelwright.core.evaluation import (
    Crashed,
    Isolation,
    Measurement,
    Regime,
    Rejected,
    TimedOut,
    WrongResult,
)
from kernelwright.core.statistics import CANDIDATE, CONTROL, Estimate, baselines, median_ns, speedup
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.running.bodies import lent
from kernelwright.evaluate.running.life import LifeEnded
from kernelwright.evaluate.running.pressure import disturbed, waited_us
from kernelwright.evaluate.running.runner import Body, life
from kernelwright.evaluate.timing.baseline import Baseline
from kernelwright.evaluate.timing.keeper import Keeper
from kernelwright.evaluate.timing.staging import Staging, TimedCases
from kernelwright.evaluate.timing.turns import Answers, CandidateTurns, RivalTurns

_BLOCK_NS = 2_000_000
_SLOW_CALL_NS = 5_000_000  # a call this long needs no call before it to wake the threads
# Below this a single call is mostly its own round trip, and says nothing.
_SINGLE_CALL_NS = 50_000
# How much of the speedup in blocks may be missing when calls come one by one.
_KEPT_ALONE = 0.75

Failure = WrongResult | Crashed | TimedOut | Rejected


@dataclass(frozen=True, kw_only=True)
class Precision:
    """When to stop: between `least` and `most` rounds, when the interval's half-width is below
    `half_width`, or after `limit_s` seconds. `largest` bounds the calls of a block."""

    least: int
    most: int
    half_width: float
    limit_s: float
    largest: int | None = None


QUICK = Precision(least=8, most=20, half_width=0.025, limit_s=2.5)
FULL = Precision(least=30, most=60, half_width=0.01, limit_s=6.0)
SINGLE = Precision(least=16, most=16, half_width=0.01, limit_s=2.0, largest=1)


@dataclass(frozen=True, kw_only=True)
class Session:
    """What timing needs besides the candidate: the inputs, the memory that each side finds them
    in, the baselines, and the round trips."""

    cases: TimedCases
    staging: Staging
    rival_staging: Staging
    baseline: Baseline
    runner_overhead_ns: int
    baseline_overhead_ns: int
    keeper: Keeper | None  # of device memory, for native candidates on a GPU
    level: Isolation
    log: Path


@dataclass
class _Blocks:
    """One subject's blocks in one regime, as they come in."""

    calls: list[int] = field(default_factory=list)
    elapsed_ns: list[int] = field(default_factory=list)

    def add(self, calls: int, elapsed_ns: int) -> None:
        self.calls.append(calls)
        self.elapsed_ns.append(elapsed_ns)


class _Rounds:
    """The rounds of one measurement: a block of everybody in each, and whether it was quiet."""

    def __init__(self, names: Sequence[str], precision: Precision):
        self.precision = precision
        self.blocks = {name: _Blocks() for name in names}
        self.estimate_ns: dict[str, float] = {}
        self.quiet: list[bool] = []
        self._deadline = time.monotonic() + precision.limit_s

    @property
    def kept(self) -> list[int]:
        """Which rounds count: the quiet ones, or all where too few were."""
        quiet = [number for number, was in enumerate(self.quiet) if was]
        return quiet if len(quiet) >= self.precision.least else list(range(len(self.quiet)))

    @property
    def over(self) -> bool:
        """Whether no further round is to be made, however wide the interval is."""
        if sum(self.quiet) >= self.precision.most or len(self.quiet) >= 2 * self.precision.most:
            return True
        return len(self.quiet) >= self.precision.least and time.monotonic() > self._deadline


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
    ):
        self._session = session
        self._body = body
        self._lane = lane
        self._keeper = session.keeper if lane == "native" else None
        if self._keeper is not None:
            self._body = lent(body, self._keeper.handles)
        self._defences = defences
        self._rivals = {name: name for name in subjects}
        if control is not None:
            self._rivals[CONTROL] = control
        self._random = random.Random(secrets.randbits(64))
        self._answers = Answers(session.cases)
        self.notes: Counter[str] = Counter()
        self.disturbed = 0
        self._theirs = RivalTurns(
            session.cases, session.rival_staging, session.baseline, self._random, self._keeper
        )

    @property
    def checked_calls(self) -> int:
        """How many timed outputs were compared so far."""
        return self._answers.count

    def measure(self, regime: Regime, precision: Precision) -> tuple[Measurement, ...] | Failure:
        """Blocks of every subject in `regime`, paired, until `precision` is reached.

        Raises:
            FaultError: the sandbox or the baselines broke.
        """
        rounds = _Rounds((CANDIDATE, *self._rivals), precision)
        while True:
            try:
                self._one_life(regime, rounds)
            except LifeEnded as ended:
                return ended.outcome
            mismatches = self._answers.mismatches()
            if mismatches:
                return WrongResult(mismatches=tuple(mismatches))
            measured = self._measurements(regime, rounds)
            if rounds.over or self._enough(measured, precision):
                self._note(rounds)
                return measured

    def _note(self, rounds: _Rounds) -> None:
        self.notes["timed rounds"] += len(rounds.kept)
        self.notes["timed rounds left out, the machine being busy"] += len(rounds.quiet) - len(
            rounds.kept
        )
        self.disturbed += sum(not rounds.quiet[number] for number in rounds.kept)

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
        single = self.measure("returned", SINGLE)
        self._rivals = kept
        if not isinstance(single, tuple):
            return single
        alone = {m.subject: m for m in single}
        self.notes["calls timed one by one"] += len(alone[CANDIDATE].calls)
        return _compared(speedup(ours, rivals[name]), speedup(alone[CANDIDATE], alone[name]))

    def _one_life(self, regime: Regime, rounds: _Rounds) -> None:
        """Blocks until the inputs are used up."""
        session = self._session
        staging, keeper = session.staging, self._keeper
        # Memory of the host that a device writes to could change while its process stands still.
        outputs = staging.outputs if keeper is None else keeper.nothing
        with life(
            self._body, staging.table_fd, staging.inputs, outputs, session.level, session.log
        ) as running:
            ours = CandidateTurns(
                cases=session.cases, staging=staging, answers=self._answers, running=running,
                regime=regime, lane=self._lane, random=self._random, defences=self._defences,
                copies=self._body.gpu and keeper is None, keeper=keeper,
            )  # fmt: skip
            ours.start()
            self._warm_up(ours, regime, rounds.estimate_ns)
            while ours.left > 1 and not rounds.over:
                self._round(ours, regime, rounds)

    def _round(self, ours: CandidateTurns, regime: Regime, rounds: _Rounds) -> None:
        """One block of everybody, in random order."""
        waited, started = waited_us(), time.monotonic()
        estimate_ns = rounds.estimate_ns
        for name in self._random.sample(list(rounds.blocks), len(rounds.blocks)):
            lead = estimate_ns[name] <= _SLOW_CALL_NS
            calls = self._count(estimate_ns[name], rounds.precision)
            if name == CANDIDATE:
                calls = min(calls, ours.left - lead)
                elapsed = ours.take(calls, lead=lead)
            else:
                elapsed = self._theirs.take(self._rivals[name], regime, calls, lead=lead)
            rounds.blocks[name].add(calls, elapsed)
            estimate_ns[name] = min(estimate_ns[name], elapsed / calls)
        rounds.quiet.append(not disturbed(waited, waited_us(), time.monotonic() - started))

    def _warm_up(self, ours: CandidateTurns, regime: Regime, estimate_ns: dict[str, float]) -> None:
        """Two calls of the candidate, and in the first life of each rival; sets the first
        estimates."""
        estimate_ns.setdefault(CANDIDATE, ours.take(1, lead=True))
        for name, subject in self._rivals.items():
            if name not in estimate_ns:
                estimate_ns[name] = self._theirs.take(subject, regime, 1, lead=True)

    def _count(self, estimate_ns: float, precision: Precision) -> int:
        """A secret number of calls that fills a block."""
        largest = precision.largest or self._session.cases.largest_block
        least = max(1, min(round(_BLOCK_NS / max(estimate_ns, 1)), largest // 2))
        return min(self._random.randint(least, 2 * least), largest)

    def _measurements(self, regime: Regime, rounds: _Rounds) -> tuple[Measurement, ...]:
        session, kept = self._session, rounds.kept
        return tuple(
            Measurement(
                workload_id=session.cases.workload.id,
                subject=name,
                repeats=self._rivals[name] if name == CONTROL else None,
                regime=regime,
                calls=tuple(taken.calls[number] for number in kept),
                elapsed_ns=tuple(taken.elapsed_ns[number] for number in kept),
                overhead_ns=session.runner_overhead_ns
                if name == CANDIDATE and self._lane == "native"
                else session.baseline_overhead_ns,
            )
            for name, taken in rounds.blocks.items()
        )

    def _enough(self, measured: tuple[Measurement, ...], precision: Precision) -> bool:
        if len(measured[0].calls) < precision.least:
            return False
        subjects = {m.subject: m for m in measured}
        rivals = baselines(subjects)
        best = min(rivals.values(), key=median_ns)
        return speedup(subjects[CANDIDATE], best).half_width < precision.half_width


def _compared(blocks: Estimate, alone: Estimate) -> Rejected | None:
    # Who is not faster in blocks has gained nothing from them.
    if blocks.ci_high <= 1 or alone.ci_high >= _KEPT_ALONE * blocks.ci_low:
        return None
    return Rejected(
        rule="timing_inconsistent",
        evidence=f"In blocks of many calls it is {blocks.median:.2f} times as fast as the "
        f"baseline, and {alone.median:.2f} times when calls come one by one. It shares work "
        "between calls that a user makes one after another.",
    )
