"""Plausibility: nothing runs faster than memory can be read and arithmetic can be done.

The peaks are measured by programs of ours (`native/peaks.c`, and `device_peaks` for a GPU). A busy
machine shows low ones, so the best that was ever seen on this kind of machine, or on this very GPU,
is kept, and a candidate that looks too fast has them measured again before it is accused.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelwright.core.cards import Card, first_card
from kernelwright.core.errors import WorkerError
from kernelwright.core.evaluation import Measurement, Rejected
from kernelwright.core.problem import Problem
from kernelwright.core.statistics import CANDIDATE, median_ns
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.native.programs import cache_folder, peaks
from kernelwright.problems.case import Demand
from kernelwright.problems.reference import Device

# The share of the floor that a time may go below it: a peak is never measured quite at its best.
_ALLOWED = 0.7
_SECOND_LOOKS = 3
_LIMIT_S = 120.0
_DEVICE_PEAKS = "kernelwright.evaluate.timing.device_peaks"


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The best that was seen: gigabytes per second by bytes read over and over (on a GPU: copied),
    and gigaflops in float32, on all threads together. A GPU has units that go faster still by
    rounding what they multiply: `tensor_gflops`; elsewhere that is no more than the others."""

    read_gb_s: dict[int, float]
    fma_gflops: float
    tensor_gflops: float = 0.0

    def joined(self, other: Peaks) -> Peaks:
        """The better of both, figure by figure."""
        sizes = self.read_gb_s.keys() | other.read_gb_s.keys()
        reads = {n: max(self.read_gb_s.get(n, 0.0), other.read_gb_s.get(n, 0.0)) for n in sizes}
        return Peaks(
            read_gb_s=reads,
            fma_gflops=max(self.fma_gflops, other.fma_gflops),
            tensor_gflops=max(self.tensor_gflops, other.tensor_gflops),
        )

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


def measured_peaks(device: Device) -> Peaks:
    """Measure (half a second; some ten on a GPU) and keep what is better than before.

    Raises:
        WorkerError: our program broke.
    """
    argv = [str(peaks())] if device == "cpu" else [sys.executable, "-I", "-m", _DEVICE_PEAKS]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_LIMIT_S)
    if done.returncode != 0:
        raise WorkerError(f"Measuring this machine's peaks failed: {done.stderr.strip()}")
    found = _read(json.loads(done.stdout) if device == "cuda" else _lines(done.stdout))
    known = _kept(device)
    best = found if known is None else known.joined(found)
    _file(device).write_text(json.dumps(dataclasses.asdict(best)))
    return best


def _lines(text: str) -> dict[str, Any]:
    """What `native/peaks.c` prints."""
    lines = [line.split() for line in text.splitlines()]
    return {
        "read_gb_s": {line[1]: line[2] for line in lines if line[0] == "read"},
        "fma_gflops": next(line[1] for line in lines if line[0] == "fma"),
    }


def _read(said: dict[str, Any]) -> Peaks:
    return Peaks(
        read_gb_s={int(size): float(speed) for size, speed in said["read_gb_s"].items()},
        fma_gflops=float(said["fma_gflops"]),
        tensor_gflops=float(said.get("tensor_gflops", 0.0)),
    )


def known_peaks(device: Device) -> Peaks:
    """The best peaks that were ever seen here; measured when none were.

    Raises:
        WorkerError: our program broke.
    """
    return _kept(device) or measured_peaks(device)


def _file(device: Device) -> Path:
    here = environment("cpu")
    what = (
        f"{here.cpu} {here.cores} {here.threads}" if device == "cpu" else _number_of(first_card())
    )
    key = hashlib.sha256(what.encode()).hexdigest()
    return cache_folder() / f"peaks-{key[:16]}.json"


@functools.cache
def _number_of(card: Card) -> str:
    """The number that NVIDIA gave to a GPU; where that is not known, to the first."""
    if card.uuid:
        return card.uuid
    asked = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=_LIMIT_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise WorkerError(f"nvidia-smi does not name the GPU: {error}") from error
    return done.stdout.strip()


def _kept(device: Device) -> Peaks | None:
    try:
        return _read(json.loads(_file(device).read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # never measured, or half written by another process: measure again


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What one call must do at least, on a device: move `nbytes` and compute `flops`. On inputs as
    the file draws them it moves `drawn_nbytes`, which other inputs may spare a kernel."""

    nbytes: int
    flops: int
    device: Device = "cpu"
    drawn_nbytes: int = 0

    def ns(self, best: Peaks) -> float:
        """The shortest that a call can take, in nanoseconds."""
        moving = self.nbytes / best.bandwidth_gb_s(self.nbytes)
        return max(moving, self.flops / max(best.fma_gflops, best.tensor_gflops))

    def check(self, measurements: Sequence[Measurement]) -> Rejected | None:
        """The rejection of a candidate that was faster than this machine can be."""
        ours = min(median_ns(m) for m in measurements if m.subject == CANDIDATE)
        best = known_peaks(self.device)
        for _ in range(_SECOND_LOOKS):
            if ours >= _ALLOWED * self.ns(best):
                return None
            best = measured_peaks(self.device)
        return Rejected(
            rule="implausible",
            evidence=f"A call took {ours / 1000:.2f} µs; this machine needs "
            f"{self.ns(best) / 1000:.2f} µs to move {self.nbytes} bytes and compute {self.flops} "
            "floating-point operations.",
        )


def floor(problem: Problem, demand: Demand, device: Device) -> Floor:
    """What one call at the report size must do at least.

    Of the inputs those count of which no kernel may leave elements out (by gathering, masking).
    Arithmetic counts in float32 and float64, since narrower types have units of their own.
    """
    axes = problem.report_workload.axes
    written = sum(spec.nbytes(axes) for spec in problem.outputs)
    read = sum(spec.nbytes(axes) for spec in problem.inputs if spec.name in demand.read)
    wide = all(spec.dtype in ("float32", "float64", "int64", "bool") for spec in problem.inputs)
    flops = demand.flops if wide else 0
    return Floor(
        nbytes=written + read,
        flops=flops,
        device=device,
        drawn_nbytes=written + max(read, demand.drawn_bytes),
    )
