"""The roofline: how far a measured call is from what this machine could do at best.

Bytes and operations are counted from the problem and its reference, and the peaks are measured
(`timing.plausible`). What is taken for a GPU needs only its own `Peaks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from kernelwright.core.evaluation import Measurement, Regime
from kernelwright.core.record import Record
from kernelwright.core.statistics import CANDIDATE, by_subject, median_ns
from kernelwright.evaluate.timing.plausible import Floor, Peaks


class Position(Record):
    """Where a kernel is under the roofline, for one call at the report size.

    `nbytes` must be moved and `flops` computed at least. `peak_gb_s` is how fast so many bytes can
    be read here at best, by a program that finds them in its caches where they fit;
    `inputs_gb_s` how fast from where the inputs of this call were, main memory when they were
    cold. `peak_gflops` is the best arithmetic in float32; all are on all threads.
    """

    nbytes: int
    flops: int
    call_ns: float
    peak_gb_s: float
    inputs_gb_s: float
    peak_gflops: float

    @property
    def moving_ns(self) -> float:
        """The shortest time in which the bytes can be moved."""
        return self.nbytes / self.peak_gb_s

    @property
    def computing_ns(self) -> float:
        """The shortest time in which the arithmetic can be done."""
        return self.flops / self.peak_gflops

    @property
    def side(self) -> Literal["memory", "compute"]:
        """What the floor is made of."""
        return "memory" if self.moving_ns >= self.computing_ns else "compute"

    @property
    def headroom(self) -> float:
        """How many times faster the floor is."""
        return self.call_ns / max(self.moving_ns, self.computing_ns)

    @property
    def slowdown(self) -> float:
        """How many times longer it took than the roof above this call, with its inputs where they
        were; below 1 when they were nearer than we know. At most `headroom`."""
        return self.call_ns / max(self.nbytes / self.inputs_gb_s, self.computing_ns)

    @property
    def intensity(self) -> float:
        """Operations for each byte that must be moved."""
        return self.flops / self.nbytes


def position(floor: Floor, peaks: Peaks, measurements: Sequence[Measurement]) -> Position | None:
    """The candidate's position; None when it was not timed, or nothing could be counted.

    The regime "buffer" is taken where it was measured: in "returned" a call allocates its output
    as well, and the kernel is not to blame for that.
    """
    regimes: tuple[Regime, ...] = ("buffer", "returned")
    for regime in regimes:
        ours = by_subject(measurements, regime).get(CANDIDATE)
        if ours is not None and floor.nbytes > 0:
            peak = peaks.bandwidth_gb_s(floor.nbytes)
            return Position(
                nbytes=floor.nbytes,
                flops=floor.flops,
                call_ns=median_ns(ours),
                peak_gb_s=peak,
                inputs_gb_s=min(peak, peaks.memory_gb_s) if ours.cache == "cold" else peak,
                peak_gflops=peaks.fma_gflops,
            )
    return None
