"""Playing every strategy on every problem with every seed, one after the other or side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from kernelwright.compare.ground import Ground, pooled
from kernelwright.compare.pool import SUFFIX, Pool
from kernelwright.compare.trial import Trial, play
from kernelwright.core.run import Budget


def on_ground(
    ground: Ground, strategies: Sequence[str], seeds: Sequence[int], budget: Budget
) -> Iterator[Trial]:
    """The trials on one ground, as they end. Each seed is played by all strategies before the next,
    so that what changes on a machine in the meantime meets all of them."""
    for seed in seeds:
        for strategy in strategies:
            yield asyncio.run(play(ground, strategy, seed, budget))


def in_pools(
    folder: Path,
    names: Sequence[str],
    strategies: Sequence[str],
    seeds: Sequence[int],
    budget: Budget,
    *,
    processes: int,
) -> Iterator[Trial]:
    """The trials in the pools `names` of `folder`, problem by problem; whole pools are expected."""
    if processes == 1 or len(names) == 1:
        for name in names:
            yield from _in_pool(folder, name, strategies, seeds, budget)
        return
    with ProcessPoolExecutor(processes) as executor:
        work = [
            executor.submit(_in_pool, folder, name, strategies, seeds, budget) for name in names
        ]
        for each in work:
            yield from each.result()


def _in_pool(
    folder: Path, name: str, strategies: Sequence[str], seeds: Sequence[int], budget: Budget
) -> list[Trial]:
    ground = pooled(name, Pool.read(folder / f"{name}{SUFFIX}"))
    return list(on_ground(ground, strategies, seeds, budget))
