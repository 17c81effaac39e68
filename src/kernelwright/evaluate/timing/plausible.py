"""Plausibility: nothing runs faster than memory can be read and arithmetic can be done.

The peaks are measured by a program of ours (`native/peaks.c`). A busy machine shows low ones, so
the best that was ever seen on this kind of machine is kept, and a candidate that looks too fast
has them measured again before it is accused.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.errors import WorkerError
from kernelwright.core.evaluation import Measurement, Rejected
from kernelwright.core.problem import Problem
from kernelwright.core.statistics import CANDIDATE, median_ns
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.native.programs import cache_folder, peaks
from kernelwright.problems.case import Demand

# The share of the floor that a time may go below it: a peak is never measured quite at its best.
_ALLOWED = 0.7
_SECOND_LOOKS = 3
_LIMIT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The best that was seen: gigabytes per second by bytes read over and over, and gigaflops in
    float32, on all threads together."""

    read_gb_s: dict[int, float]
    fma_gflops: float

    def joined(self, other: Peaks) -> Peaks:
        """The better of both, figure by figure."""
        sizes = self.read_gb_s.keys() | other.read_gb_s.keys()
        reads = {n: max(self.read_gb_s.get(n, 0.0), other.read_gb_s.get(n, 0.0)) for n in sizes}
        return Peaks(read_gb_s=reads, fma_gflops=max(self.fma_gflops, other.fma_gflops))

    def bandwidth_gb_s(self, nbytes: int) -> float:
        """How fast `nbytes` can be read at best: as the next smaller size, which is closer to the
        processor."""
        sizes = sorted(self.read_gb_s)
        fitting = [size for size in sizes if size <= nbytes] or sizes[:1]
        return max(self.read_gb_s[size] for size in sizes if size >= fitting[-1])

    @property
    def memory_gb_s(self) -> float:
        """How fast main memory is read at best: the largest size, which fits in no cache."""
        return self.read_gb_s[max(self.read_gb_s)]


def measured_peaks() -> Peaks:
    """Measure (half a second) and keep what is better than before.

    Raises:
        WorkerError: our program broke.
    """
    done = subprocess.run([str(peaks())], capture_output=True, text=True, timeout=_LIMIT_S)
    if done.returncode != 0:
        raise WorkerError(f"Measuring this machine's peaks failed: {done.stderr.strip()}")
    lines = [line.split() for line in done.stdout.splitlines()]
    reads = {int(line[1]): float(line[2]) for line in lines if line[0] == "read"}
    fma = next(float(line[1]) for line in lines if line[0] == "fma")
    found = Peaks(read_gb_s=reads, fma_gflops=fma)
    known = _kept()
    best = found if known is None else known.joined(found)
    text = json.dumps({"read_gb_s": best.read_gb_s, "fma_gflops": best.fma_gflops})
    _file().write_text(text)
    return best


def known_peaks() -> Peaks:
    """The best peaks that were ever seen here; measured when none were.

    Raises:
        WorkerError: our program broke.
    """
    return _kept() or measured_peaks()


def _file() -> Path:
    here = environment("cpu")
    key = hashlib.sha256(f"{here.cpu} {here.cores} {here.threads}".encode()).hexdigest()
    return cache_folder() / f"peaks-{key[:16]}.json"


def _kept() -> Peaks | None:
    try:
        found = json.loads(_file().read_text())
        reads = {int(size): float(speed) for size, speed in found["read_gb_s"].items()}
        return Peaks(read_gb_s=reads, fma_gflops=float(found["fma_gflops"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # never measured, or half written by another process: measure again


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What one call must do at least: move `nbytes` and compute `flops`."""

    nbytes: int
    flops: int

    def ns(self, best: Peaks) -> float:
        """The shortest that a call can take, in nanoseconds."""
        moving = self.nbytes / best.bandwidth_gb_s(self.nbytes)
        return max(moving, self.flops / best.fma_gflops)

    def check(self, measurements: Sequence[Measurement]) -> Rejected | None:
        """The rejection of a candidate that was faster than this machine can be."""
        ours = min(median_ns(m) for m in measurements if m.subject == CANDIDATE)
        best = known_peaks()
        for _ in range(_SECOND_LOOKS):
            if ours >= _ALLOWED * self.ns(best):
                return None
            best = measured_peaks()
        return Rejected(
            rule="implausible",
            evidence=f"A call took {ours / 1000:.2f} µs; this machine needs "
            f"{self.ns(best) / 1000:.2f} µs to move {self.nbytes} bytes and compute {self.flops} "
            "floating-point operations.",
        )


def floor(problem: Problem, demand: Demand) -> Floor:
    """What one call at the report size must do at least.

    Where a kernel may leave elements out (gathering, masking) only the outputs count. Arithmetic
    counts in float32 and float64, since narrower types have units of their own.
    """
    axes = problem.report_workload.axes
    written = sum(spec.nbytes(axes) for spec in problem.outputs)
    read = sum(spec.nbytes(axes) for spec in problem.inputs) if demand.whole else 0
    wide = all(spec.dtype in ("float32", "float64", "int64", "bool") for spec in problem.inputs)
    return Floor(nbytes=written + read, flops=demand.flops if wide and demand.whole else 0)
