"""One search of a comparison, and what it had found after each attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import kernelwright
from kernelwright.compare.ground import Ground
from kernelwright.core import names
from kernelwright.core.protocols import Strategy
from kernelwright.core.record import Record
from kernelwright.core.run import Attempt, Budget, History, RunSpec
from kernelwright.run.log import RunLog
from kernelwright.run.loop import Search
from kernelwright.store.memory import MemoryStore


class Trial(Record):
    """A search by one strategy over one problem with one seed.

    `worth[n]` is what the candidate that it would have ended with after attempt n + 1 is worth: a
    speedup over the best baseline, None while nothing has passed. `judged_s[n]` are the seconds of
    judging until then.
    """

    strategy: str
    problem: str
    seed: int
    worth: tuple[float | None, ...]
    judged_s: tuple[float, ...]
    ended: str

    @property
    def attempts(self) -> int:
        """How many it made."""
        return len(self.worth)

    @property
    def final(self) -> float | None:
        """What it ended with."""
        return self.worth[-1] if self.worth else None

    def attempts_to(self, target: float) -> int | None:
        """How many attempts it took to have `target` in hand; None when it never had."""
        reached = (n for n, found in enumerate(self.worth, 1) if found and found >= target)
        return next(reached, None)


async def play(ground: Ground, strategy: str, seed: int, budget: Budget) -> Trial:
    """The search by `strategy` on `ground`, one attempt after the other.

    Raises:
        UnknownName: there is no such strategy.
        UsageError: a writer or the judge cannot work on this machine at all.
    """
    spec = RunSpec(
        problem=ground.origin, strategy=strategy, seed=seed, budget=budget,
        languages=ground.languages,
    )  # fmt: skip
    store = MemoryStore()
    log = RunLog(store)
    started = {"spec": spec.model_dump(mode="json"), "name": ground.name}
    log.record("started", {**started, "version": kernelwright.__version__})

    def strategy_for(dropped: frozenset[str]) -> Strategy:
        left = tuple(d for d in ground.drafters if d.writer not in dropped)
        made: Strategy = names.load("strategy", strategy)(drafters=left, seed=seed)
        return made

    search = Search(
        log,
        ground.problem,
        strategy_for=strategy_for,
        writers=ground.writers(store),
        evaluator=ground.evaluator,
        budget=budget,
    )
    ended = await search.run(asyncio.Event())
    attempts = log.state.history.attempts
    return Trial(
        strategy=strategy,
        problem=ground.name,
        seed=seed,
        worth=tuple([await _worth(ground, best) for best in _bests(attempts)]),
        judged_s=tuple(_judged_s(attempts)),
        ended=ended,
    )


def _bests(attempts: Sequence[Attempt]) -> list[Attempt | None]:
    """What a search would have ended with after each attempt."""
    return [History(attempts=tuple(attempts[: n + 1])).best for n in range(len(attempts))]


async def _worth(ground: Ground, best: Attempt | None) -> float | None:
    if best is None or best.candidate is None:
        return None
    return await ground.worth(best.candidate)


def _judged_s(attempts: Sequence[Attempt]) -> list[float]:
    total, found = 0.0, []
    for attempt in attempts:
        total += sum(attempt.evaluation.stage_s.values()) if attempt.evaluation else 0.0
        found.append(round(total, 3))
    return found
