"""Geometric means of ratios over problems, with an interval for another problem like them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from kernelwright.core.record import Record

# Student's t that 95% lie within, for 1, 2, 3 … degrees of freedom; beyond them it falls from the
# last to 1.96 so slowly that the last is taken.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


class Interval(Record):
    """A middle of ratios, by default their geometric mean, with its 95% interval."""

    mean: float
    ci_low: float
    ci_high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.ci_low:.2f} to {self.ci_high:.2f})"


def of_logs(logs: Sequence[float]) -> Interval | None:
    """The mean of `logs`, one for each problem, with Student's interval, as ratios; None for fewer
    than two, which have no spread. With few problems it is wide, as it should be.

    >>> print(of_logs([0.0, 0.1, 0.2]))
    1.11 (0.86 to 1.42)
    """
    if len(logs) < 2:
        return None
    mean = statistics.fmean(logs)
    t = _T[min(len(logs) - 1, len(_T)) - 1]
    half = t * statistics.stdev(logs) / math.sqrt(len(logs))
    return Interval(
        mean=math.exp(mean), ci_low=math.exp(mean - half), ci_high=math.exp(mean + half)
    )
