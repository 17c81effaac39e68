"""The rounds of one measurement: which of them count, and when there are enough."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kernelwright.evaluate.timing.clocks import Clocks


@dataclass(frozen=True, kw_only=True)
class Precision:
    """When to stop: between `least` and `most` rounds, when the interval's half-width is below
    `half_width`, or after `limit_s` seconds. `largest` bounds the calls of a block."""

    least: int
    most: int
    half_width: float
    limit_s: float
    largest: int | None = None


# Six pairs are the fewest between whose extremes a median lies with 95%.
QUICK = Precision(least=6, most=20, half_width=0.025, limit_s=2.5)
FULL = Precision(least=30, most=60, half_width=0.01, limit_s=6.0)
SINGLE = Precision(least=16, most=16, half_width=0.01, limit_s=2.0, largest=1)

_UNSEEN: Mapping[str, int | None] = {}


@dataclass
class Blocks:
    """One subject's blocks in one regime, as they come in."""

    calls: list[int] = field(default_factory=list)
    elapsed_ns: list[int] = field(default_factory=list)

    def add(self, calls: int, elapsed_ns: int) -> None:
        """Note one more."""
        self.calls.append(calls)
        self.elapsed_ns.append(elapsed_ns)


class Rounds:
    """The rounds of one measurement: a block of everybody in each, whether the machine was quiet,
    and how fast its GPU ran."""

    def __init__(self, names: Sequence[str], precision: Precision, clocks: Clocks | None = None):
        self.precision = precision
        self.blocks = {name: Blocks() for name in names}
        self.estimate_ns: dict[str, float] = {}
        self.quiet: list[bool] = []
        self._mhz: list[Mapping[str, int | None]] = []
        self._clocks = clocks or Clocks()
        self._deadline = time.monotonic() + precision.limit_s

    def __len__(self) -> int:
        return len(self.quiet)

    def add(
        self,
        taken: Mapping[str, tuple[int, int]],
        *,
        quiet: bool,
        mhz: Mapping[str, int | None] = _UNSEEN,
    ) -> None:
        """Note a round: the calls and nanoseconds of each block, and how fast the GPU ran in it."""
        for name, (calls, elapsed) in taken.items():
            self.blocks[name].add(calls, elapsed)
        self.quiet.append(quiet)
        self._mhz.append(mhz)

    @property
    def sagged(self) -> list[bool]:
        """In which rounds the GPU ran too slowly to be believed."""
        return [self._clocks.sagged(mhz) for mhz in self._mhz]

    @property
    def good(self) -> list[bool]:
        """Which rounds were quiet, on a GPU that did not sag."""
        return [quiet and not slow for quiet, slow in zip(self.quiet, self.sagged, strict=True)]

    @property
    def kept(self) -> list[int]:
        """Which rounds count: the good ones, or all where too few were."""
        good = [number for number, was in enumerate(self.good) if was]
        return good if len(good) >= self.precision.least else list(range(len(self)))

    @property
    def over(self) -> bool:
        """Whether no further round is to be made, however wide the interval is."""
        good, most = sum(self.good), self.precision.most
        if good >= most or len(self) >= 2 * most:
            return True
        return len(self) >= self.precision.least and time.monotonic() > self._end(good)

    def _end(self, good: int) -> float:
        """A GPU that sags is given as much time again, until there are enough good rounds."""
        waits = good < self.precision.least and any(self.sagged)
        return self._deadline + (self.precision.limit_s if waits else 0)
