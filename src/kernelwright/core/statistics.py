"""From raw blocks to medians, speedups and verdicts. Nothing here is stored; it is worked out
again from the samples whenever it is shown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kernelwright.core.evaluation import Measurement, Outcome, Passed, Regime

Verdict = Literal["FASTER", "SLOWER", "SAME", "AMBIGUOUS"]

CANDIDATE = "candidate"
CONTROL = "control"
SAME_WITHIN = 0.02
_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A ratio with its 95% interval."""

    median: float
    ci_low: float
    ci_high: float

    @property
    def verdict(self) -> Verdict:
        """FASTER or SLOWER when the interval says so; SAME when it lies within 2% of 1."""
        if self.ci_low >= 1 - SAME_WITHIN and self.ci_high <= 1 + SAME_WITHIN:
            return "SAME"
        if self.ci_low > 1:
            return "FASTER"
        if self.ci_high < 1:
            return "SLOWER"
        return "AMBIGUOUS"

    @property
    def half_width(self) -> float:
        """Half the interval, as a share of the median."""
        return (self.ci_high - self.ci_low) / 2 / self.median


def median_ns(measurement: Measurement) -> float:
    """The median nanoseconds per call."""
    return statistics.median(measurement.samples_ns)


def speedup(candidate: Measurement, baseline: Measurement, *, seed: int = 0) -> Estimate:
    """How many times faster `candidate` is than `baseline`; above 1 is faster.

    The ratio is taken block by block (the blocks are paired, so drift of the machine cancels);
    the estimate is the median over blocks and the interval a percentile bootstrap over them.

    Raises:
        ValueError: the two do not have the same number of blocks, so they are not paired.
    """
    ratios = _ratios(candidate, baseline)
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, ratios.size, (_RESAMPLES, ratios.size))
    medians = np.median(ratios[picks], axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return Estimate(median=float(np.median(ratios)), ci_low=float(low), ci_high=float(high))


def _ratios(candidate: Measurement, baseline: Measurement) -> NDArray[np.float64]:
    """The speedup block by block.

    Raises:
        ValueError: the blocks are not paired.
    """
    ours, theirs = np.asarray(candidate.samples_ns), np.asarray(baseline.samples_ns)
    if ours.shape != theirs.shape:
        raise ValueError(f"{ours.size} and {theirs.size} blocks are not paired")
    ratios: NDArray[np.float64] = theirs / ours
    return ratios


def by_way_of_baseline(
    ours: Iterable[Measurement], theirs: Iterable[Measurement], *, seed: int = 0
) -> Estimate | None:
    """How many times faster the candidate of the session `ours` is than that of `theirs`; None when
    one was not timed, or no baseline was timed in both.

    The two were never timed side by side. Each is compared with the fastest baseline that both
    sessions have, block by block; the estimate is the ratio of the two medians, and the interval is
    a bootstrap over the blocks of both. What changed between the sessions for the candidates and
    not for the baseline is not in the interval.
    """
    mine, others = by_subject(ours), by_subject(theirs)
    shared = [name for name in baselines(mine) if name in baselines(others)]
    if CANDIDATE not in mine or CANDIDATE not in others or not shared:
        return None
    best = min(shared, key=lambda name: median_ns(mine[name]))
    rng = np.random.default_rng(seed)
    medians, middles = [], []
    for subjects in (mine, others):
        ratios = _ratios(subjects[CANDIDATE], subjects[best])
        picks = rng.integers(0, ratios.size, (_RESAMPLES, ratios.size))
        medians.append(np.median(ratios[picks], axis=1))
        middles.append(float(np.median(ratios)))
    low, high = np.quantile(medians[0] / medians[1], [0.025, 0.975])
    return Estimate(median=middles[0] / middles[1], ci_low=float(low), ci_high=float(high))


def by_subject(
    measurements: Iterable[Measurement], regime: Regime = "returned"
) -> dict[str, Measurement]:
    """The measurements of one regime, by subject. One workload is expected."""
    return {m.subject: m for m in measurements if m.regime == regime}


def baselines(subjects: dict[str, Measurement]) -> dict[str, Measurement]:
    """The measured baselines: everything but the candidate and the A/A control."""
    return {name: m for name, m in subjects.items() if name not in (CANDIDATE, CONTROL)}


def versus_best(
    measurements: Iterable[Measurement], regime: Regime = "returned"
) -> tuple[str, Estimate] | None:
    """The fastest baseline's name and the candidate's speedup over it; None when not timed."""
    subjects = by_subject(measurements, regime)
    rivals = baselines(subjects)
    if CANDIDATE not in subjects or not rivals:
        return None
    best = min(rivals, key=lambda name: median_ns(rivals[name]))
    return best, speedup(subjects[CANDIDATE], rivals[best])


def score(outcome: Outcome) -> float | None:
    """What a search maximises: the median speedup over the best baseline, when there is one."""
    if not isinstance(outcome, Passed):
        return None
    found = versus_best(outcome.measurements)
    return found[1].median if found else None


def at_least(outcome: Outcome) -> float | None:
    """What one of several is chosen by: the lower end of the interval of its speedup, so that a
    figure from a busy machine does not win by its width."""
    if not isinstance(outcome, Passed):
        return None
    found = versus_best(outcome.measurements)
    return found[1].ci_low if found else None
