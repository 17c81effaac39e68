"""Timing: candidate and baselines in turn, on the broker's clock, every timed output checked.

A *block* is a secret number of calls that a process makes on one command; the broker's clock runs
from the command to the reply. What is stored is each block's calls and nanoseconds, and the round
trip of a block of no work, measured on a trusted process of the same kind.

The time per call is (block − round trip) / calls and not the slope over different counts: a
candidate that knows the count could slow its small blocks and flatten the slope, whereas here
any delay, wherever it is, counts against it.

Within one life a candidate never sees the same inputs twice, so there is nothing that it could
remember an answer from. A set holds a dozen or more different inputs; when a life has used them
up, it ends, its outputs are compared, and another begins.
"""

from __future__ import annotations

import random
import secrets
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from kernelwright.core.agreement import Array
from kernelwright.core.evaluation import (
    Crashed,
    Isolation,
    Measurement,
    Mismatch,
    Regime,
    Rejected,
    TimedOut,
    WrongResult,
)
from kernelwright.core.statistics import CANDIDATE, CONTROL, baselines, median_ns, speedup
from kernelwright.evaluate.baseline import Baseline
from kernelwright.evaluate.blocks import most_calls
from kernelwright.evaluate.cases import CaseSet
from kernelwright.evaluate.runner import Body, Life, LifeEnded, life
from kernelwright.evaluate.verify import call_limit_s

_BLOCK_NS = 2_000_000
_SLOW_CALL_NS = 5_000_000  # a call this long needs no call before it to wake the threads
_SETTLE_S = 0.004  # the threads of whoever ran before stop spinning
_LOAD_LIMIT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Precision:
    """When to stop: between `least` and `most` blocks, when the interval's half-width is below
    `half_width`, or after `limit_s` seconds."""

    least: int
    most: int
    half_width: float
    limit_s: float


QUICK = Precision(least=8, most=20, half_width=0.025, limit_s=2.5)
FULL = Precision(least=30, most=60, half_width=0.01, limit_s=6.0)


@dataclass(frozen=True)
class Session:
    """What timing needs besides the candidate: the inputs, the baselines, and the round trips."""

    cases: CaseSet
    baseline: Baseline
    runner_overhead_ns: int
    baseline_overhead_ns: int
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


class Timer:
    """Times one candidate against some of the baselines."""

    def __init__(
        self,
        session: Session,
        body: Body,
        subjects: Sequence[str],
        *,
        lane: Literal["native", "module"],
        control: str | None = None,
    ):
        self._session = session
        self._body = body
        self._lane = lane
        self._rivals = {name: name for name in subjects}
        if control is not None:
            self._rivals[CONTROL] = control
        self._random = random.Random(secrets.randbits(64))
        self._right: dict[int, list[Array]] = {}
        self.checked_calls = 0

    def measure(
        self, regime: Regime, precision: Precision
    ) -> tuple[Measurement, ...] | WrongResult | Crashed | TimedOut | Rejected:
        """Blocks of every subject in `regime`, paired, until `precision` is reached.

        Raises:
            FaultError: the sandbox or the baselines broke.
        """
        blocks = {name: _Blocks() for name in (CANDIDATE, *self._rivals)}
        deadline = time.monotonic() + precision.limit_s
        estimate_ns: dict[str, float] = {}
        while True:
            try:
                used = self._one_life(regime, blocks, estimate_ns, precision, deadline)
            except LifeEnded as ended:
                return ended.outcome
            mismatches = self._check(used)
            if mismatches:
                return WrongResult(mismatches=tuple(mismatches))
            measured = self._measurements(regime, blocks)
            if self._enough(measured, precision, deadline):
                return measured

    def _one_life(
        self,
        regime: Regime,
        blocks: dict[str, _Blocks],
        estimate_ns: dict[str, float],
        precision: Precision,
        deadline: float,
    ) -> list[int]:
        """Blocks until the inputs are used up; the calls that the candidate made."""
        session, cases = self._session, self._session.cases
        cases.poison()
        total = len(cases.calls)
        with life(
            self._body, cases.table_fd, cases.inputs, cases.outputs, session.level, session.log
        ) as running:
            running.ask("load", stage="load", limit_s=_LOAD_LIMIT_S, count=most_calls(total))
            position = self._warm_up(running, regime, estimate_ns)
            while position < total:
                counts = {name: self._count(estimate_ns[name], total) for name in blocks}
                lead = 0 if estimate_ns[CANDIDATE] > _SLOW_CALL_NS else 1
                counts[CANDIDATE] = min(counts[CANDIDATE], total - position - lead)
                if counts[CANDIDATE] < 1:
                    break
                for name in self._random.sample(list(blocks), len(blocks)):
                    time.sleep(_SETTLE_S)
                    if name == CANDIDATE:
                        elapsed = self._candidate_block(
                            running, regime, position, lead, counts[name]
                        )
                    else:
                        elapsed = self._rival_block(name, regime, counts[name], estimate_ns[name])
                    blocks[name].add(counts[name], elapsed)
                    estimate_ns[name] = min(estimate_ns[name], elapsed / counts[name])
                position += lead + counts[CANDIDATE]
                done = len(blocks[CANDIDATE].calls)
                if done >= precision.most or (
                    done >= precision.least and time.monotonic() > deadline
                ):
                    break
        return list(range(position))

    def _warm_up(self, running: Life, regime: Regime, estimate_ns: dict[str, float]) -> int:
        """Two calls of the candidate, and in the first life one of each rival; sets first
        estimates. Returns how many calls of the set are used up."""
        calls = min(2, len(self._session.cases.calls) - 1)
        elapsed = 0
        for position in range(calls):
            elapsed = self._candidate_block(running, regime, position, 0, 1)
        estimate_ns.setdefault(CANDIDATE, elapsed)
        for name in self._rivals:
            if name not in estimate_ns:
                self._rival_block(name, regime, 1, 0.0)
                estimate_ns[name] = self._rival_block(name, regime, 1, 0.0)
        return calls

    def _count(self, estimate_ns: float, total: int) -> int:
        """A secret number of calls that fills a block."""
        least = max(1, min(round(_BLOCK_NS / max(estimate_ns, 1)), most_calls(total) // 2))
        return self._random.randint(least, 2 * least)

    def _candidate_block(
        self, running: Life, regime: Regime, first: int, lead: int, count: int
    ) -> int:
        """`lead` untimed calls, then `count` timed ones; nanoseconds for the latter."""
        _, case = self._session.cases.case_of(first)
        limit_s = call_limit_s(case.eager_s) * count
        elapsed = 0
        for start, calls in ((first, lead), (first + lead, count)):
            if calls == 0:
                continue
            answer = running.ask(regime, stage="timing", limit_s=limit_s, first=start, count=calls)
            elapsed = answer.elapsed_ns
            if regime == "returned":
                running.ask("collect", stage="timing", limit_s=limit_s)
        return elapsed

    def _rival_block(self, name: str, regime: Regime, count: int, estimate_ns: float) -> int:
        """`count` timed calls of a baseline, on inputs in any order: it is ours."""
        total = len(self._session.cases.calls)
        subject = self._rivals[name]
        if estimate_ns < _SLOW_CALL_NS:
            self._session.baseline.time(subject, regime, self._random.randrange(total), 1)
        first = self._random.randrange(total - count + 1)
        return self._session.baseline.time(subject, regime, first, count)

    def _check(self, used: Sequence[int]) -> list[Mismatch]:
        """Compare the outputs of these calls: bit by bit with what was right before on the same
        inputs, and against the oracle where that is not the same."""
        found: list[Mismatch] = []
        for index in used:
            outputs = self._session.cases.output_bytes(index)
            known = self._right.get(index)
            self.checked_calls += 1
            if known is not None and all(map(np.array_equal, known, outputs)):
                continue
            checked = self._session.cases.check(index)
            found += checked.mismatches
            if not checked.mismatches and known is None:
                self._right[index] = [data.copy() for data in outputs]
        return found

    def _measurements(self, regime: Regime, blocks: dict[str, _Blocks]) -> tuple[Measurement, ...]:
        session = self._session
        return tuple(
            Measurement(
                workload_id=session.cases.problem.report_workload.id,
                subject=name,
                regime=regime,
                calls=tuple(taken.calls),
                elapsed_ns=tuple(taken.elapsed_ns),
                overhead_ns=session.runner_overhead_ns
                if name == CANDIDATE and self._lane == "native"
                else session.baseline_overhead_ns,
            )
            for name, taken in blocks.items()
        )

    def _enough(
        self, measured: tuple[Measurement, ...], precision: Precision, deadline: float
    ) -> bool:
        taken = len(measured[0].calls)
        if taken < precision.least:
            return False
        if taken >= precision.most or time.monotonic() > deadline:
            return True
        subjects = {m.subject: m for m in measured}
        rivals = baselines(subjects)
        best = min(rivals.values(), key=median_ns)
        return speedup(subjects[CANDIDATE], best).half_width < precision.half_width


def median_ping(ping: Sequence[int]) -> int:
    """The round trip that is taken off a block: the median of many."""
    return round(statistics.median(ping))
