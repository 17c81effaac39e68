"""Playing every strategy on every problem with every seed, one after the other or side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kernelwright.compare.ground import Told, pooled
from kernelwright.compare.pool import SUFFIX, Pool
from kernelwright.compare.trial import Trial, play
from kernelwright.core.run import Budget
from kernelwright.knowledge.lessons.lesson import Lesson


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is compared with others: a strategy, and the lessons that its writers are told."""

    strategy: str
    lessons: tuple[Lesson, ...] = ()

    @property
    def name(self) -> str:
        """As it stands in tables."""
        return f"{self.strategy}+lessons" if self.lessons else self.strategy


def on_ground(
    told: Told, arms: Sequence[Arm], seeds: Sequence[int], budget: Budget
) -> Iterator[Trial]:
    """The trials on one ground, as they end. Each seed is played by all before the next, so that
    what changes on a machine in the meantime meets all of them."""
    grounds = {arm.name: told(arm.lessons) for arm in arms}
    for seed in seeds:
        for arm in arms:
            trial = asyncio.run(play(grounds[arm.name], arm.strategy, seed, budget))
            yield trial.model_copy(update={"strategy": arm.name})


def in_pools(
    folder: Path,
    names: Sequence[str],
    arms: Sequence[Arm],
    seeds: Sequence[int],
    budget: Budget,
    *,
    processes: int,
) -> Iterator[Trial]:
    """The trials in the pools `names` of `folder`, problem by problem; whole pools are expected."""
    if processes == 1 or len(names) == 1:
        for name in names:
            yield from _in_pool(folder, name, arms, seeds, budget)
        return
    with ProcessPoolExecutor(processes) as executor:
        work = [executor.submit(_in_pool, folder, name, arms, seeds, budget) for name in names]
        for each in work:
            yield from each.result()


def _in_pool(
    folder: Path, name: str, arms: Sequence[Arm], seeds: Sequence[int], budget: Budget
) -> list[Trial]:
    pool = Pool.read(folder / f"{name}{SUFFIX}")
    return list(on_ground(lambda lessons: pooled(name, pool, lessons), arms, seeds, budget))
