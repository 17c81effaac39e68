"""The grounds that candidates and baselines are timed on: memory of the host, or of a GPU.

They say how a candidate's life begins there, and what happens around one block of its calls and of
its rivals' (`turns`, `device_turns`).
"""

from __future__ import annotations

import contextlib
import random
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from kernelwright.core.candidate import Lane
from kernelwright.core.evaluation import Isolation, Regime
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.running.bodies import lent
from kernelwright.evaluate.running.life import Life
from kernelwright.evaluate.running.runner import Body, life, started_early
from kernelwright.evaluate.timing.baseline import Baseline
from kernelwright.evaluate.timing.clocks import Clocks
from kernelwright.evaluate.timing.device_turns import DeviceRivalTurns, DeviceTurns
from kernelwright.evaluate.timing.keeper import Keeper
from kernelwright.evaluate.timing.staging import Staging, TimedCases
from kernelwright.evaluate.timing.turns import Answers, CandidateTurns, RivalTurns
from kernelwright.evaluate.timing.witness import Witness


class Turns(Protocol):
    """A candidate's turns in one life."""

    def start(self) -> None:
        """Load the candidate."""

    @property
    def left(self) -> int:
        """How many calls it can still be given."""

    def upcoming(self, calls: int, *, lead: bool) -> Sequence[int]:
        """The cases of the block that `take` would time next; none where it does not matter."""

    def take(self, calls: int, *, lead: bool) -> int:
        """The nanoseconds of a block, after an untimed call when `lead` asks for it."""


class Rivals(Protocol):
    """The baselines' turns."""

    def take(
        self, subject: str, regime: Regime, calls: int, *, lead: bool, cases: Sequence[int] = ()
    ) -> int:
        """The nanoseconds of a block, after an untimed call when `lead` asks for it. `cases` has
        one for each call; any are taken where there are none."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a life of a candidate is for. `queued` is whether a GPU's calls wait behind a gate."""

    regime: Regime
    lane: Lane
    random: random.Random
    defences: Defences
    queued: bool = False


class Grounds(Protocol):
    """Where calls are timed."""

    @property
    def most(self) -> int:
        """The most calls that a block has."""

    @property
    def block_ns(self) -> int:
        """How long a block should take at least, so that the clock's own error is small in it."""

    @property
    def paired(self) -> bool:
        """Whether all blocks of a round have the same calls, on the same inputs."""

    def life(self, body: Body, lane: Lane) -> contextlib.AbstractContextManager[Life]:
        """A life of the candidate that `body` starts."""

    def turns(self, running: Life, answers: Answers, asked: Asked) -> Turns:
        """Its turns."""

    def rivals(self, source: random.Random, *, queued: bool) -> Rivals:
        """The baselines' turns."""


@dataclass(frozen=True, kw_only=True)
class HostGrounds:
    """Memory of the host: one staging for the candidate, and one for the baselines."""

    cases: TimedCases
    staging: Staging
    rival_staging: Staging
    baseline: Baseline
    level: Isolation
    log: Path
    block_ns: int = 4_000_000
    # A processor takes longer for some values than for others: three times for what underflows.
    paired: bool = True

    @property
    def most(self) -> int:
        """The most calls that a block has."""
        return self.cases.largest_block

    @contextlib.contextmanager
    def life(self, body: Body, lane: Lane) -> Iterator[Life]:  # noqa: ARG002 - all are alike
        """A life over the candidate's staging."""
        staging = self.staging
        with life(
            body, staging.table_fd, staging.inputs, staging.outputs, self.level, self.log
        ) as running:
            yield running

    def turns(self, running: Life, answers: Answers, asked: Asked) -> Turns:
        """Its turns."""
        return CandidateTurns(
            cases=self.cases, staging=self.staging, answers=answers, running=running,
            regime=asked.regime, lane=asked.lane, random=asked.random, defences=asked.defences,
        )  # fmt: skip

    def rivals(self, source: random.Random, *, queued: bool) -> Rivals:  # noqa: ARG002
        """The baselines' turns; nothing is queued here."""
        return RivalTurns(self.cases, self.rival_staging, self.baseline, source)


@dataclass(frozen=True, kw_only=True)
class DeviceGrounds:
    """A GPU's memory, which a keeper lends to candidate and baselines alike."""

    cases: TimedCases
    keeper: Keeper
    baseline: Baseline
    level: Isolation
    log: Path
    clocks: Clocks
    block_ns: int = 3_000_000
    paired: bool = False

    @property
    def most(self) -> int:
        """The most calls that a block has."""
        return len(self.keeper) if self.keeper.turnable else self.cases.largest_block

    @contextlib.contextmanager
    def early(self, body: Body, lane: Lane) -> Iterator[Body]:
        """`body` with a life that begins at once and waits for its turn."""
        layout = self.keeper.layout
        with started_early(
            lent(body, lane, self.keeper.handles), layout.table_fd, layout.numbers, layout.names,
            self.level, self.log.with_name(f"early-{secrets.token_hex(8)}.log"),
        ) as begun:  # fmt: skip
            yield replace(body, early=begun)

    @contextlib.contextmanager
    def life(self, body: Body, lane: Lane) -> Iterator[Life]:
        """A life in the keeper's memory."""
        layout = self.keeper.layout
        with life(
            lent(body, lane, self.keeper.handles), layout.table_fd, layout.numbers, layout.names,
            self.level, self.log,
        ) as running:  # fmt: skip
            try:
                yield running
            finally:
                self.keeper.forget()

    def turns(self, running: Life, answers: Answers, asked: Asked) -> Turns:
        """Its turns."""
        return DeviceTurns(
            cases=self.cases, keeper=self.keeper, answers=answers, running=running,
            witness=Witness(self.cases.problem, self.keeper, self.baseline),
            regime=asked.regime, lane=asked.lane, random=asked.random, defences=asked.defences,
            clocks=self.clocks, queued=asked.queued,
        )  # fmt: skip

    def rivals(self, source: random.Random, *, queued: bool) -> Rivals:
        """The baselines' turns."""
        return DeviceRivalTurns(self.cases, self.keeper, self.baseline, source, self.clocks, queued)
