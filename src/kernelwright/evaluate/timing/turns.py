"""Turns at being timed: what happens around one block, for the candidate and for its rivals.

Whoever is not timed stands still (SIGSTOP), so that nobody disturbs another's clock and nobody
works ahead. A candidate's inputs are copied to it while it stands still, and the clock starts
before it may go on. The rivals are ours, and treated the same way so that both sides find the
caches in the same state.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kernelwright.core.candidate import Lane
from kernelwright.core.evaluation import Mismatch, Regime, Rejected
from kernelwright.core.formats import Array
from kernelwright.evaluate.correctness.cases import Written, check_call
from kernelwright.evaluate.correctness.verify import call_limit_s
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.running.arena import Bytes
from kernelwright.evaluate.running.life import Answer, Life, LifeEnded, Operation
from kernelwright.evaluate.running.remote import Unreadable, anonymous_bytes
from kernelwright.evaluate.timing.baseline import Baseline
from kernelwright.evaluate.timing.staging import Staging, TimedCases
from kernelwright.problems.case import Case

_LOAD_LIMIT_S = 60.0
# How much of the outputs must be new; what a kernel frees meanwhile counts against it.
_FRESH_SHARE = 0.75


class Spare:
    """Memory for outputs that are kept until somebody compares them, used again and again: the
    first touch of new memory takes longer than a copy into memory that was touched before."""

    def __init__(self) -> None:
        self._free: defaultdict[int, list[Bytes]] = defaultdict(list)

    def copied(self, data: Bytes) -> Bytes:
        """A copy of `data`. Safe to call from any thread."""
        free = self._free[data.size]
        try:
            kept = free.pop()
        except IndexError:
            kept = np.empty_like(data)
        np.copyto(kept, data)
        return kept

    def take_back(self, kept: Bytes) -> None:
        """Nobody needs this copy any more."""
        self._free[kept.size].append(kept)


class Answers:
    """What a candidate gave on each case: compared in full the first time, by its bits after."""

    def __init__(self, cases: TimedCases, spare: Spare):
        self._cases = cases
        self._spare = spare
        self._right: dict[int, list[Bytes]] = {}
        self._pending: list[tuple[int, Case, list[Written]]] = []
        self._witnessed: list[Mismatch] = []
        self.count = 0

    def take(self, index: int, written: Sequence[Written]) -> None:
        """Note the outputs on case `index`; what cannot be judged at once is copied."""
        self.count += 1
        known = self._right.get(index)
        if known is not None and _same(known, written):
            return
        kept = [replace(w, data=self._spare.copied(w.data)) for w in written]
        self._pending.append((index, self._cases.cases[index], kept))

    def witnessed(self, mismatch: Mismatch | None) -> None:
        """Note what a witness says of a call of which it is not known what it must give."""
        self.count += 1
        self._witnessed += [mismatch] if mismatch else []

    def mismatches(self) -> list[Mismatch]:
        """Compare what is pending with the oracle; the mismatches that were found."""
        found, self._witnessed = self._witnessed, []
        for index, case, written in self._pending:
            checked = check_call(self._cases.problem, self._cases.workload, case, written)
            found += checked.mismatches
            if not checked.mismatches:
                self._right[index] = [w.data for w in written]
        self._pending.clear()
        return found

    def forget(self) -> None:
        """Give back the memory of what was right, when nothing more will be timed."""
        for outputs in self._right.values():
            for data in outputs:
                self._spare.take_back(data)
        self._right.clear()


def _same(known: Sequence[Array], written: Sequence[Written]) -> bool:
    return all(
        w.intact and np.array_equal(data, w.data) for data, w in zip(known, written, strict=True)
    )


@dataclass
class CandidateTurns:
    """A candidate's turns in one life. It meets every case at most once."""

    cases: TimedCases
    staging: Staging
    answers: Answers
    running: Life
    regime: Regime
    lane: Lane
    random: random.Random
    defences: Defences

    def start(self) -> None:
        """Load the candidate, with nothing to see but the weights."""
        for slot in range(self.staging.slots):
            self.staging.hide(slot)
            self.staging.poison(slot)
        self._unused = self.random.sample(range(len(self.cases)), len(self.cases))
        self._limit_s = call_limit_s(max(case.eager_s for case in self.cases.cases))
        # A module may compile what it needs in its first call.
        self._patience = 10 if self.lane == "module" else 1
        self.running.ask("load", stage="load", limit_s=_LOAD_LIMIT_S, count=self.staging.slots)
        self._stand_still()

    @property
    def left(self) -> int:
        """How many calls it has not met the inputs of."""
        return len(self._unused)

    def upcoming(self, calls: int, *, lead: bool) -> Sequence[int]:
        """The cases of the block that `take` would time next."""
        end = len(self._unused) - lead
        return self._unused[end - calls : end]

    def take(self, calls: int, *, lead: bool) -> int:
        """The nanoseconds that `calls` calls take, after an untimed one when `lead` asks for it.

        Raises:
            LifeEnded: it crashed, hung, or answered something else.
        """
        if not self.defences.late_inputs:
            self._show(self._unused[-calls - lead : len(self._unused) - lead], 0)
        if lead:
            self._calls(1)
        return self._calls(calls)

    def _calls(self, calls: int) -> int:
        indices = self._unused[-calls:]
        if self.defences.fresh_inputs:
            del self._unused[-calls:]
        first = self.random.randint(0, self.staging.slots - calls)
        self._show(indices, first)
        held = self._own_bytes()
        self.running.refuse_moved()
        frozen = self.defences.frozen_between
        answer = self._ask(self.regime, first, calls, wake=frozen)
        self._stand_still()
        elapsed_ns = answer.elapsed_ns + (self.running.late_ns if frozen else 0)
        self._take_outputs(indices, first)
        if self.regime == "returned":
            self._check_pages(self._own_bytes() - held, calls)
            self._untimed("collect", first, calls)
        return elapsed_ns if self.defences.own_clock else answer.claimed_ns

    def _untimed(self, operation: Operation, first: int, calls: int) -> None:
        self.running.refuse_moved()
        self.running.resume()
        self._ask(operation, first, calls)
        self._stand_still()

    def _ask(
        self,
        operation: Operation,
        first: int,
        calls: int,
        *,
        wake: bool = False,
    ) -> Answer:
        limit_s = calls * self._limit_s * self._patience
        answer = self.running.ask(
            operation, stage="timing", limit_s=limit_s, first=first, count=calls, wake=wake
        )
        if operation == self.regime:
            self._patience = 1
        return answer

    def _take_outputs(self, indices: Sequence[int], first: int) -> None:
        """Note what was there when the clock stopped."""
        if not self.defences.timed_outputs:
            return
        for slot, index in enumerate(indices, first):
            if self.regime == "buffer":
                written = self.staging.written(slot)
            else:
                written = self._returned(slot)
            self.answers.take(index, written)

    def _returned(self, slot: int) -> list[Written]:
        try:
            return self.staging.returned(slot, self.running.pid, self.lane)
        except Unreadable as error:
            evidence = f"It says that it returned {error}, where it has no memory."
            raise LifeEnded(Rejected(rule="forged_reply", evidence=evidence)) from error

    def _own_bytes(self) -> int:
        """The memory of its own that it has, where that matters: counting takes a millisecond."""
        matters = self.regime == "returned" and self.staging.fresh_bytes()
        return anonymous_bytes(self.running.pid) if matters else 0

    def _check_pages(self, grown: int, calls: int) -> None:
        """Large outputs come as fresh pages on both sides, which a process then has more of. An
        allocator that keeps them, or pages that are moved there, would save several times the
        kernel's own time."""
        least = round(_FRESH_SHARE * calls * self.staging.fresh_bytes())
        if self.defences.fresh_pages and grown < least:
            evidence = (
                f"The outputs of {calls} calls came with {grown} bytes of new memory, must be at "
                f"least {least}."
            )
            raise LifeEnded(Rejected(rule="kept_memory", evidence=evidence))

    def _show(self, indices: Sequence[int], first: int) -> None:
        for slot, index in enumerate(indices, first):
            self.staging.poison(slot)
            self.staging.put(slot, self.cases.cases[index])

    def _stand_still(self) -> None:
        if self.defences.frozen_between:
            self.running.stand_still()


@dataclass
class RivalTurns:
    """The baselines' turns. They are ours, so they may meet a case again."""

    cases: TimedCases
    staging: Staging
    baseline: Baseline
    random: random.Random

    def take(
        self, subject: str, regime: Regime, calls: int, *, lead: bool, cases: Sequence[int] = ()
    ) -> int:
        """The nanoseconds that `calls` calls take, after an untimed one when `lead` asks for it.
        They are on `cases`, or on any where there are none.

        Raises:
            WorkerError: the baselines' process broke.
        """
        if lead:
            self._calls(subject, regime, self._any(1))
        return self._calls(subject, regime, cases or self._any(calls))

    def _any(self, count: int) -> Sequence[int]:
        return self.random.sample(range(len(self.cases)), count)

    def _calls(self, subject: str, regime: Regime, cases: Sequence[int]) -> int:
        first = self.random.randint(0, self.staging.slots - len(cases))
        for slot, index in enumerate(cases, first):
            self.staging.put(slot, self.cases.cases[index])
        self.baseline.stage(subject, first, len(cases))
        return self.baseline.time(regime, len(cases))
