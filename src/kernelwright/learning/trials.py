"""Matched searches with a lesson and without: what it is worth on problems it was not drawn from.

The effect is on what a search has in hand: the speedup of what it would hand over if it ended now,
after each attempt of the budget. A lesson that finds nothing better but finds it sooner has an
effect, and one that costs attempts has one too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kernelwright.compare.comparing import Arm, on_ground
from kernelwright.compare.ground import Told, pooled
from kernelwright.compare.pool import SUFFIX, Pool
from kernelwright.compare.trial import Trial as Search
from kernelwright.core.interval import of_logs
from kernelwright.core.run import Budget
from kernelwright.knowledge.lessons.lesson import Lesson, Trial

# What nothing counts while no candidate has passed, and the least that one which passed counts.
NOTHING = 0.1


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the searches of a trial have in common. There is a limit of attempts in `budget`."""

    strategy: str
    budget: Budget
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The searches of one problem without lessons, and with each lesson by its name. A lesson that
    is not there changes nothing of this problem's drafts, or was drawn from it."""

    problem: str
    without: Sequence[Search]
    with_each: Mapping[str, Sequence[Search]]


def matched(name: str, told: Told, lessons: Sequence[Lesson], terms: Terms) -> Matched:
    """The searches on one ground: once without, and once more with each of `lessons`."""

    def searches(*lessons: Lesson) -> list[Search]:
        arm = Arm(strategy=terms.strategy, lessons=lessons)
        return list(on_ground(told, [arm], range(terms.seeds), terms.budget))

    with_each = {each.name: searches(each) for each in lessons if told((each,)).told}
    without = searches() if with_each else []
    return Matched(problem=name, without=without, with_each=with_each)


def in_pools(
    folder: Path, names: Sequence[str], lessons: Sequence[Lesson], terms: Terms, *, processes: int
) -> Iterator[Matched]:
    """The matched searches in the pools `names` of `folder`, as each problem's end."""
    if processes == 1 or len(names) == 1:
        yield from (_in_pool(folder, name, lessons, terms) for name in names)
        return
    with ProcessPoolExecutor(processes) as executor:
        work = [executor.submit(_in_pool, folder, name, lessons, terms) for name in names]
        yield from (each.result() for each in work)


def _in_pool(folder: Path, name: str, lessons: Sequence[Lesson], terms: Terms) -> Matched:
    pool = Pool.read(folder / f"{name}{SUFFIX}")
    return matched(name, lambda told: pooled(name, pool, told), lessons, terms)


def concluded(
    lesson: Lesson, found: Sequence[Matched], terms: Terms, *, where: str, command: str
) -> Lesson:
    """The lesson with what the searches of all problems say of it; as it is where none does."""
    pairs = [(m, m.with_each[lesson.name]) for m in found if lesson.name in m.with_each]
    if not pairs:
        return lesson
    in_hand = [effect(ours, m.without, terms.budget) for m, ours in pairs]
    final = [_final(ours, m.without) for m, ours in pairs]
    trial = Trial(
        strategy=terms.strategy,
        budget=terms.budget,
        seeds=terms.seeds,
        problems=tuple(m.problem for m, _ in pairs),
        where=where,
        in_hand=of_logs(in_hand),
        final=of_logs(final),
        command=command,
    )
    return lesson.model_copy(update={"trial": trial})


def effect(ours: Sequence[Search], theirs: Sequence[Search], budget: Budget) -> float:
    """The mean logarithm of the ratio of what both have in hand, over attempts and seeds."""
    attempts = budget.max_attempts or 1
    return statistics.fmean(
        math.log(_in_hand(mine, n) / _in_hand(other, n))
        for mine, other in zip(ours, theirs, strict=True)
        for n in range(attempts)
    )


def _final(ours: Sequence[Search], theirs: Sequence[Search]) -> float:
    return statistics.fmean(
        math.log(_counted(mine.final) / _counted(other.final))
        for mine, other in zip(ours, theirs, strict=True)
    )


def _in_hand(search: Search, attempt: int) -> float:
    """What it has after that attempt, counted from 0; one that has ended keeps what it had."""
    if not search.worth:
        return NOTHING
    return _counted(search.worth[min(attempt, search.attempts - 1)])


def _counted(worth: float | None) -> float:
    return max(worth or NOTHING, NOTHING)
