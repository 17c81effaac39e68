"""What trials add up to: how each strategy stands against one of them, in pairs.

Trials of the same problem and seed are a pair. Ratios are geometric means over problems, each of
which counts once however many seeds it had; intervals are a bootstrap over problems, because it is
to another problem that one wants to conclude.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from kernelwright.compare.trial import Trial
from kernelwright.core.evaluation import Environment
from kernelwright.core.interval import Interval
from kernelwright.core.record import Record
from kernelwright.core.run import Budget
from kernelwright.core.statistics import SAME_WITHIN

_RESAMPLES = 4000


class Standing(Record):
    """How one strategy stands against the reference; `pairs` is how many trials of each there are.

    `speedup` is the geometric mean of what its searches ended with; `final` is that in ratio to the
    reference's, above 1 is better. The target of a pair is what the reference ended with, or is
    within 2% of it. `to_target` are the attempts until it was reached, in ratio to those that the
    reference made in all, and `to_target_of_needed` to those after which the reference had it;
    `judged_to_target` are the seconds of judging, in ratio to the reference's in all. In a pair of
    which it `missed` the target, the whole budget counts, or what it spent where there is none.
    """

    strategy: str
    pairs: int
    attempts: float
    speedup: float | None
    final: Interval | None
    missed: int
    to_target: Interval | None
    to_target_of_needed: Interval | None
    judged_to_target: Interval | None
    without_result: int


class Comparison(Record):
    """Strategies at equal budget. `where` is "live", or what the pools were recorded as."""

    reference: str
    budget: Budget
    where: str
    environment: Environment
    standings: tuple[Standing, ...]
    trials: tuple[Trial, ...]

    @property
    def problems(self) -> list[str]:
        """The problems, in the order in which they were tried."""
        return list(dict.fromkeys(trial.problem for trial in self.trials))

    def of(self, strategy: str, problem: str | None = None) -> list[Trial]:
        """The trials of one strategy, on one problem where that is given."""
        return [
            t for t in self.trials
            if t.strategy == strategy and problem in (None, t.problem)
        ]  # fmt: skip


def compared(
    trials: Sequence[Trial], *, reference: str, budget: Budget, where: str, environment: Environment
) -> Comparison:
    """The comparison of `trials` with those of the strategy `reference`."""
    strategies = dict.fromkeys(trial.strategy for trial in trials)
    return Comparison(
        reference=reference,
        budget=budget,
        where=where,
        environment=environment,
        standings=tuple(_standing(s, trials, reference, budget) for s in strategies),
        trials=tuple(trials),
    )


Pair = tuple[Trial, Trial]


def _standing(strategy: str, trials: Sequence[Trial], reference: str, budget: Budget) -> Standing:
    ours = [trial for trial in trials if trial.strategy == strategy]
    theirs = {(t.problem, t.seed): t for t in trials if t.strategy == reference}
    pairs = [(t, theirs[t.problem, t.seed]) for t in ours if (t.problem, t.seed) in theirs]
    timed = [(a, b) for a, b in pairs if a.final and b.final]
    reached = [(a, b) for a, b in pairs if b.final]

    def attempts(trial: Trial, target: float) -> int:
        return trial.attempts_to(target) or max(budget.max_attempts or 0, trial.attempts)

    def judged(trial: Trial, target: float) -> float:
        number = trial.attempts_to(target) or trial.attempts
        return trial.judged_s[number - 1] if trial.judged_s else 0.0

    return Standing(
        strategy=strategy,
        pairs=len(pairs),
        attempts=sum(t.attempts for t in ours) / len(ours),
        speedup=_mean([t for t in ours if t.final], lambda trial: trial.final or 1.0),
        final=_interval(timed, lambda a, b: (a.final or 1.0) / (b.final or 1.0)),
        missed=sum(a.attempts_to(_target(b)) is None for a, b in reached),
        to_target=_interval(reached, lambda a, b: attempts(a, _target(b)) / b.attempts),
        to_target_of_needed=_interval(
            reached, lambda a, b: attempts(a, _target(b)) / attempts(b, _target(b))
        ),
        judged_to_target=_interval(
            [(a, b) for a, b in reached if judged(a, _target(b)) > 0],
            lambda a, b: judged(a, _target(b)) / b.judged_s[-1],
        ),
        without_result=sum(t.final is None for t in ours),
    )


def _target(trial: Trial) -> float:
    return (trial.final or 0.0) * (1 - SAME_WITHIN)


def _mean(trials: Sequence[Trial], value: Callable[[Trial], float]) -> float | None:
    if not trials:
        return None
    logs = _by_problem((trial.problem, math.log(value(trial))) for trial in trials)
    return math.exp(sum(logs.values()) / len(logs))


def _interval(pairs: Sequence[Pair], ratio: Callable[[Trial, Trial], float]) -> Interval | None:
    if not pairs:
        return None
    logs = _by_problem((ours.problem, math.log(ratio(ours, theirs))) for ours, theirs in pairs)
    values = np.array(list(logs.values()))
    picks = np.random.default_rng(0).integers(0, values.size, (_RESAMPLES, values.size))
    low, high = np.quantile(values[picks].mean(axis=1), [0.025, 0.975])
    return Interval(
        mean=math.exp(float(values.mean())), ci_low=math.exp(low), ci_high=math.exp(high)
    )


def _by_problem(found: Iterator[tuple[str, float]]) -> Mapping[str, float]:
    """The mean over the seeds of each problem."""
    seeds: dict[str, list[float]] = {}
    for problem, value in found:
        seeds.setdefault(problem, []).append(value)
    return {problem: sum(values) / len(values) for problem, values in seeds.items()}


def curve(trials: Sequence[Trial], length: int) -> list[float | None]:
    """The geometric mean of what `trials` had in hand after each of `length` attempts; one that has
    ended keeps what it had. While one of them has nothing, there is no mean."""
    found: list[float | None] = []
    for n in range(length):
        in_hand = [t.worth[min(n, t.attempts - 1)] if t.worth else None for t in trials]
        known = [math.log(worth) for worth in in_hand if worth]
        whole = len(known) == len(trials) and known
        found.append(math.exp(sum(known) / len(known)) if whole else None)
    return found
