"""Turns at being timed on a GPU.

Calls are queued behind a gate. Once they are, and whoever queued them stands still, the keeper
brings their inputs; the clock starts when the gate is opened, and stops when the keeper has noted
words of every output. So it sees the device's work and nothing else: no launch, no processor, no
interpreter. Work that is done before the gate opens finds no inputs, and work that is not behind it
is missing from what is noted.

Where calls cannot be queued, since one of them waits for the device, they are timed as a user makes
them: the inputs are there, and the clock runs from asking for them to the reply.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kernelwright.core.candidate import Lane
from kernelwright.core.errors import WorkerError
from kernelwright.core.evaluation import Regime, Rejected, TimedOut
from kernelwright.evaluate.correctness.verify import call_limit_s
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.running.life import Life, LifeEnded, Operation
from kernelwright.evaluate.timing.baseline import Baseline
from kernelwright.evaluate.timing.clocks import Clocks
from kernelwright.evaluate.timing.gate import Gate
from kernelwright.evaluate.timing.keeper import Keeper, Shown
from kernelwright.evaluate.timing.staging import TimedCases
from kernelwright.evaluate.timing.turns import Answers
from kernelwright.evaluate.timing.witness import Witness

_LOAD_LIMIT_S = 120.0
_FIRST_CALL = 10  # times as long as another: it may compile
# How long calls may take to be queued before the gate is opened, in case they wait for the device.
_QUEUE_S = 1.5
_DEVICE_S = 20.0  # for a block; as long as a gate waits
# A device that nobody uses notes words in some 0.1 ms; one whose time is shared needs a slice more.
_SHARED_NS = 1_000_000
_STRAYS = 2
# One that takes longer may have waited for a processor. What runs there by itself is there again.
_LOOKS_AGAIN = 5
_WITNESSED = 2  # calls of a block


class Blocked(Exception):
    """Calls could not be queued: one of them waits for the device, or they were too many."""


class Opener:
    """Opens a gate when queueing takes too long, and remembers that it did."""

    def __init__(self, gate: Gate):
        self._gate = gate
        self._deadline = time.monotonic() + _QUEUE_S
        self.opened = False

    def __call__(self) -> bool:
        """Never says that it was waited for long enough."""
        if time.monotonic() > self._deadline and not self.opened:
            self.opened = True
            self._gate.open()
        return False


def is_shared(sample: Callable[[], None]) -> bool:
    """Whether somebody else uses the device now, on which `sample` notes a few words: it takes too
    long, and so do most that follow."""

    def slow() -> bool:
        start = time.perf_counter_ns()
        sample()
        return time.perf_counter_ns() - start > _SHARED_NS

    return slow() and sum(slow() for _ in range(_LOOKS_AGAIN)) > _LOOKS_AGAIN // 2


@dataclass
class DeviceTurns:
    """A candidate's turns on a GPU in one life. It meets every case once as it is."""

    cases: TimedCases
    keeper: Keeper
    witness: Witness
    answers: Answers
    running: Life
    regime: Regime
    lane: Lane
    random: random.Random
    defences: Defences
    clocks: Clocks
    queued: bool = True
    _strays: int = field(default=0, init=False)

    def start(self) -> None:
        """Load the candidate, with nothing to see, and have it make a call that is not timed."""
        keeper = self.keeper
        self._gate = Gate(keeper.layout.names)
        self._unused = self.random.sample(range(len(self.cases)), len(self.cases))
        self._limit_s = call_limit_s(max(case.eager_s for case in self.cases.cases))
        keeper.wipe()
        block = [keeper.turn(self.random)] if keeper.turnable else [self._next()]
        keeper.put_numbers(0, block)
        keeper.stage(0, block)
        self.running.ask("load", stage="load", limit_s=_LOAD_LIMIT_S, count=len(keeper))
        self._ask_for("returned", 0, 1, _FIRST_CALL * self._limit_s)
        self._settle(self._limit_s)

    @property
    def left(self) -> int:
        """How many calls a block can still have."""
        if not self.keeper.turnable:
            return len(self._unused)
        return len(self.keeper) if self._unused or self.witness.can_tell else 0

    def upcoming(self, calls: int, *, lead: bool) -> Sequence[int]:  # noqa: ARG002
        """None: a GPU takes as long whatever the values are."""
        return ()

    def take(self, calls: int, *, lead: bool) -> int:  # noqa: ARG002 - it needs none
        """The nanoseconds that `calls` calls take; none is made before them.

        Raises:
            LifeEnded: it crashed, hung, or gave what changed later.
            Blocked: they cannot be queued.
        """
        keeper = self.keeper
        first = self.random.randint(0, len(keeper) - calls)
        block = self._block(calls)
        keeper.put_numbers(first, block)
        limit_s = calls * self._limit_s
        self.running.refuse_moved()
        if self.queued:
            elapsed_ns = self._queued(first, block, limit_s)
        else:
            elapsed_ns = self._called(first, block, limit_s)
        self._collect(first, block)
        keeper.flush()
        claimed_ns = self._settle(limit_s)
        self._refuse_shared()
        return elapsed_ns if self.defences.own_clock else claimed_ns

    def _next(self) -> Shown:
        """A case that it has not met."""
        index = self._unused[-1]
        if self.defences.fresh_inputs:
            self._unused.pop()
        return Shown(index, {})

    def _block(self, calls: int) -> list[Shown]:
        if not self.keeper.turnable:
            return [self._next() for _ in range(calls)]
        block = [self.keeper.turn(self.random) for _ in range(calls)]
        if self._unused:
            block[self.random.randrange(calls)] = self._next()
        return block

    def _queued(self, first: int, block: Sequence[Shown], limit_s: float) -> int:
        keeper, gate = self.keeper, self._gate
        if not self.defences.late_inputs:
            keeper.stage(first, block)
        opener = Opener(gate)
        self.running.resume()
        self.running.ask(
            "queue", stage="timing", limit_s=_QUEUE_S + limit_s, first=first, count=len(block),
            token=gate.renew(), enough=opener,
        )  # fmt: skip
        if opener.opened:
            self._settle(limit_s)
            raise Blocked
        if self.defences.frozen_between:
            self.running.stand_still()
        if self.defences.late_inputs:
            keeper.lay(first, block)
        self._note(first, len(block))
        self.clocks.look()
        gate.settle()
        start = time.perf_counter_ns()
        gate.open()
        if not gate.wait(min(limit_s, _DEVICE_S)):
            self._settle(limit_s)  # which tells what happened, if it is known
            raise LifeEnded(TimedOut(stage="timing", limit_s=limit_s))
        keeper.sample()
        elapsed_ns = time.perf_counter_ns() - start
        self.clocks.look()
        return elapsed_ns

    def _called(self, first: int, block: Sequence[Shown], limit_s: float) -> int:
        """As a user calls it: the inputs are there, and each call is launched when it is made."""
        self.keeper.stage(first, block)
        if not self._returns:
            self._note(first, len(block))
        self.clocks.look()
        answer = self.running.ask(
            "returned", stage="timing", limit_s=limit_s, first=first, count=len(block), wake=True,
            then=None if self._returns else self.keeper.sample,
        )  # fmt: skip
        self.running.stand_still()
        self.clocks.look()
        if self._returns:
            self._note(first, len(block))
            self.keeper.sample()
        return answer.elapsed_ns + self.running.late_ns

    @property
    def _returns(self) -> bool:
        """Whether it returns memory of its own."""
        return self.lane == "module"

    def _note(self, first: int, calls: int) -> None:
        if self._returns and not self.keeper.open(range(first, first + calls)):
            evidence = "It says that it returned memory of the device that is not there."
            raise LifeEnded(Rejected(rule="forged_reply", evidence=evidence))
        self.keeper.choose(first, calls, opened=self._returns)

    def _collect(self, first: int, block: Sequence[Shown]) -> None:
        """Compare the outputs of the calls of which it is known what they must give, and of some
        others with those of eager mode."""
        for slot, shown in enumerate(block, first):
            if not shown.known or not self.defences.timed_outputs:
                continue
            written, unchanged = self.keeper.collect(first, slot, opened=self._returns)
            if not unchanged:
                evidence = "Its outputs changed after it had said that they were there."
                raise LifeEnded(Rejected(rule="late_outputs", evidence=evidence))
            self.answers.take(shown.case, written)
        turned = [slot for slot, shown in enumerate(block, first) if not shown.known]
        if turned and self.defences.timed_outputs and self.witness.can_tell:
            for slot in self.random.sample(turned, min(_WITNESSED, len(turned))):
                self.answers.witnessed(self.witness.about(first, slot, opened=self._returns))

    def _settle(self, limit_s: float) -> int:
        """Have it wait for its device and give back what it holds; what it claims to have taken."""
        return self._ask_for("collect", 0, 0, limit_s)

    def _ask_for(self, operation: Operation, first: int, calls: int, limit_s: float) -> int:
        self.running.resume()
        answer = self.running.ask(
            operation, stage="timing", limit_s=limit_s, first=first, count=calls
        )
        if self.defences.frozen_between:
            self.running.stand_still()
        return answer.claimed_ns

    def _refuse_shared(self) -> None:
        """Make sure that a device which should be idle is: what a candidate leaves running there
        would slow the baselines."""
        self._strays += is_shared(self.keeper.sample)
        if self._strays > _STRAYS and self.defences.frozen_between:
            evidence = "The device was busy while the candidate was told to stand still."
            raise LifeEnded(Rejected(rule="not_standing_still", evidence=evidence))


@dataclass
class DeviceRivalTurns:
    """The baselines' turns on a GPU. They are ours, and have their inputs before they queue: a
    backward pass is prepared by a forward one."""

    cases: TimedCases
    keeper: Keeper
    baseline: Baseline
    random: random.Random
    clocks: Clocks
    queued: bool = True

    def take(
        self,
        subject: str,
        regime: Regime,
        calls: int,
        *,
        lead: bool,  # noqa: ARG002
        cases: Sequence[int] = (),  # noqa: ARG002
    ) -> int:
        """The nanoseconds that `calls` calls take. None is needed before them: `lead` is ignored,
        and so are `cases`.

        Raises:
            WorkerError: the baselines' process broke.
            Blocked: they cannot be queued.
        """
        keeper, baseline = self.keeper, self.baseline
        first = self.random.randint(0, len(keeper) - calls)
        block = [self._shown(keeper) for _ in range(calls)]
        keeper.put_numbers(first, block)
        keeper.stage(first, block)
        baseline.stage(subject, first, calls)
        keeper.flush()
        if not self.queued:
            return self._called(regime, calls)
        gate = baseline.gate
        opener = Opener(gate)
        baseline.queue(calls, opener)
        try:
            if opener.opened:
                raise Blocked
            self.clocks.look()
            gate.settle()
            start = time.perf_counter_ns()
            gate.open()
            if not gate.wait(_DEVICE_S):
                raise WorkerError(f"{calls} calls of {subject} did not end in {_DEVICE_S} s.")
            keeper.sample()
            elapsed_ns = time.perf_counter_ns() - start
            self.clocks.look()
            return elapsed_ns
        finally:
            baseline.collect()

    def _called(self, regime: Regime, calls: int) -> int:
        self.clocks.look()
        elapsed_ns = self.baseline.time(regime, calls, self.keeper.sample)
        self.clocks.look()
        return elapsed_ns

    def _shown(self, keeper: Keeper) -> Shown:
        if keeper.turnable:
            return keeper.turn(self.random)
        return Shown(self.random.randrange(len(self.cases)), {})
