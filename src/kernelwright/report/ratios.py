"""The stored form of a speedup with its interval."""

from __future__ import annotations

from kernelwright.core.record import Record
from kernelwright.core.statistics import Estimate


class Ratio(Record):
    """How many times faster, with its 95% interval; above 1 is faster."""

    median: float
    ci_low: float
    ci_high: float

    @classmethod
    def of(cls, estimate: Estimate) -> Ratio:
        """The stored form of `estimate`."""
        return cls(median=estimate.median, ci_low=estimate.ci_low, ci_high=estimate.ci_high)

    @property
    def estimate(self) -> Estimate:
        """The working form."""
        return Estimate(median=self.median, ci_low=self.ci_low, ci_high=self.ci_high)
