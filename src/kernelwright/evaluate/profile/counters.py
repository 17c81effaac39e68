"""What a GPU's own counters say of one call, read from what Nsight Compute prints.

Text in, values out; who runs `ncu` is `evaluate.profile.nsight`. Its page "raw" as CSV has a line
of names, a line of units and a line for each launch, among lines of its own that begin with ``==``
and whatever the program printed:
https://docs.nvidia.com/nsight-compute/NsightComputeCli/index.html
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kernelwright.core.record import Record

# What is asked for, and the field that it becomes.
_FIELDS = {
    "gpu__time_duration.sum": "ns",
    "dram__bytes_read.sum": "read_bytes",
    "dram__bytes_write.sum": "written_bytes",
    "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": "memory_percent",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed": "arithmetic_percent",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "occupancy_percent",
    "lts__t_sector_hit_rate.pct": "l2_hit_percent",
}
_STALL = "smsp__average_warps_issue_stalled_{}_per_issue_active.ratio"
# Why a warp that could not issue waited, and what that means.
STALLS = {
    "long_scoreboard": "global memory",
    "short_scoreboard": "shared memory or a special function",
    "barrier": "other warps at a barrier",
    "math_pipe_throttle": "a busy arithmetic unit",
    "lg_throttle": "a full queue of loads and stores",
    "mio_throttle": "a full queue of shared memory",
    "wait": "the fixed time of the instruction before",
    "drain": "its stores at its end",
    "no_instruction": "instructions to be fetched",
}
METRICS = (*_FIELDS, *(_STALL.format(name) for name in STALLS))
_NAME = "Kernel Name"
_LARGEST = 1e18  # who shares the log may have written anything
MOST_LAUNCHES = 64
_FIRST = '"ID","Process ID"'
# Bytes and nanoseconds by how a unit is written, which differs between versions.
_UNITS = {
    "byte": 1.0, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9,
    "ns": 1.0, "nsecond": 1.0, "us": 1e3, "usecond": 1e3, "ms": 1e6, "msecond": 1e6,
    "s": 1e9, "second": 1e9,
}  # fmt: skip


class KernelCounters(Record):
    """What was counted during one launch of one kernel. None is what was not counted.

    `memory_percent` and `arithmetic_percent` are of what the device can do at its clock of the
    time, `occupancy_percent` of the warps that a multiprocessor can hold. `stalls` are cycles that
    a warp waited for each instruction it issued, by the names of `STALLS`. Caches were emptied
    before the launch.
    """

    name: str
    ns: float | None = None
    read_bytes: float | None = None
    written_bytes: float | None = None
    memory_percent: float | None = None
    arithmetic_percent: float | None = None
    occupancy_percent: float | None = None
    l2_hit_percent: float | None = None
    stalls: dict[str, float] = {}


class Counters(Record):
    """What was counted during one call: each launch, in their order."""

    kernels: tuple[KernelCounters, ...]

    def total(self, field: str) -> float | None:
        """The sum of `field` over all launches; None when it is missing in one."""
        values: list[float | None] = [getattr(kernel, field) for kernel in self.kernels]
        known = [value for value in values if value is not None]
        return sum(known) if known and len(known) == len(values) else None

    def average(self, field: str) -> float | None:
        """The mean of `field` over the time of all launches; None when it is missing in one."""
        return self._weighted([getattr(kernel, field) for kernel in self.kernels])

    @property
    def stalls(self) -> dict[str, float]:
        """The mean of each stall that was counted in all launches, the longest first."""
        means = {
            name: self._weighted([kernel.stalls.get(name) for kernel in self.kernels])
            for name in STALLS
        }
        known = {name: mean for name, mean in means.items() if mean is not None}
        return dict(sorted(known.items(), key=lambda pair: -pair[1]))

    def _weighted(self, values: Sequence[float | None]) -> float | None:
        weights = [kernel.ns for kernel in self.kernels]
        pairs = [
            (value, weight)
            for value, weight in zip(values, weights, strict=True)
            if value is not None and weight is not None
        ]
        whole = sum(weight for _, weight in pairs)
        if len(pairs) < len(values) or whole <= 0:
            return None
        return sum(value * weight for value, weight in pairs) / whole


def kernels(text: str) -> tuple[KernelCounters, ...]:
    """The launches in what `ncu` printed; none where there is no table, or one that says nothing.

    >>> said = '"ID","Process ID","Kernel Name","dram__bytes_read.sum"\\n"","","","byte"\\n'
    >>> kernels(said + '"0","7","k(float *, int)","1,024"\\n')[0].read_bytes
    1024.0
    """
    lines = csv.reader(_table(text.splitlines()))
    try:
        names, units, *rows = itertools.islice(lines, 2 + MOST_LAUNCHES)
    except (ValueError, csv.Error):
        return ()
    if _NAME not in names or len(units) != len(names):
        return ()
    in_units = dict(zip(names, units, strict=True))
    found = [
        _kernel(dict(zip(names, row, strict=True)), in_units)
        for row in rows
        if len(row) == len(names)
    ]
    return tuple(kernel for kernel in found if kernel.model_fields_set - {"name", "stalls"})


def _table(lines: Iterable[str]) -> Iterator[str]:
    """The lines of the last table: a program may have printed one of its own before."""
    found: list[str] = []
    for line in lines:
        if line.startswith(_FIRST):
            found = [line]
        elif found and line.startswith('"'):
            found.append(line)
    yield from found


def _kernel(row: Mapping[str, str], units: Mapping[str, str]) -> KernelCounters:
    values = {
        field: value
        for metric, field in _FIELDS.items()
        if (value := _number(row.get(metric, ""), units.get(metric, ""))) is not None
    }
    stalls = {
        name: value
        for name in STALLS
        if (value := _number(row.get(_STALL.format(name), ""), "")) is not None
    }
    return KernelCounters.model_validate({"name": row[_NAME], "stalls": stalls, **values})


def _number(text: str, unit: str) -> float | None:
    """A figure in bytes, nanoseconds or as it is; None for what is no number, such as ``n/a``."""
    try:
        value = float(text.replace(",", "")) * _UNITS.get(unit, 1.0)
    except ValueError:
        return None
    return value if 0 <= value <= _LARGEST else None
