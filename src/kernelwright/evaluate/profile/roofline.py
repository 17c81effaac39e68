"""The roofline: from what was counted and measured to where a call is under it.

Bytes and operations are counted from the problem and its reference, and the peaks are measured
(`timing.plausible`). What is taken for a GPU needs only its own `Peaks`.
"""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.core.diagnosis import Position
from kernelwright.core.evaluation import Measurement, Regime
from kernelwright.core.statistics import CANDIDATE, by_subject, median_ns
from kernelwright.evaluate.timing.plausible import Floor, Peaks


def position(floor: Floor, peaks: Peaks, measurements: Sequence[Measurement]) -> Position | None:
    """The candidate's position; None when it was not timed, or nothing could be counted.

    The regime "buffer" is taken where it was measured: in "returned" a call allocates its output
    as well, and the kernel is not to blame for that.
    """
    regimes: tuple[Regime, ...] = ("buffer", "returned")
    for regime in regimes:
        ours = by_subject(measurements, regime).get(CANDIDATE)
        nbytes = max(floor.nbytes, floor.drawn_nbytes)
        if ours is not None and nbytes > 0:
            peak = peaks.bandwidth_gb_s(nbytes)
            return Position(
                nbytes=nbytes,
                flops=floor.flops,
                call_ns=median_ns(ours),
                peak_gb_s=peak,
                inputs_gb_s=min(peak, peaks.memory_gb_s) if ours.cache == "cold" else peak,
                peak_gflops=peaks.fma_gflops,
                tensor_gflops=peaks.tensor_gflops or None,
            )
    return None
