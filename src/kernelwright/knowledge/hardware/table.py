"""The table of devices, and the door to it: ``devices.toml``, a row for each.

A row is what its maker says that the device can do at most. What this machine really does is
measured by the judge (`evaluate.timing.plausible`); the limits of one multiprocessor stand in
`evaluate.profile.occupancy` too, by architecture, and a test compares.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Annotated

from pydantic import Field

from kernelwright.core.record import Record

_FILE = "devices.toml"
_MAKERS = re.compile(r"^(NVIDIA|AMD)\s+")

Peaks = Mapping[str, Annotated[float, Field(gt=0)]]


class Gpu(Record):
    """One model of GPU. Units are as at the head of the file; None is what no source was found for.

    `last_mib` is a cache behind the second one. `threads` is how many a multiprocessor holds at
    once, `warp` how many of them go together.
    """

    name: str
    named: str
    arch: str
    vector: Peaks = {}
    matrix: Peaks = {}
    memory_gb: float = Field(gt=0)
    memory_gb_s: float = Field(gt=0)
    multiprocessors: int | None = Field(default=None, gt=0)
    l2_mib: float | None = Field(default=None, gt=0)
    last_mib: float | None = Field(default=None, gt=0)
    shared_kib: float = Field(gt=0)
    registers: int = Field(gt=0)
    threads: int | None = Field(default=None, gt=0)
    warp: int = Field(gt=0)
    sources: tuple[str, ...] = Field(min_length=1)

    @property
    def text(self) -> str:
        """The row for a reader."""
        return "\n".join([*self._peaks(), *self._limits(), _from(self.sources)])

    def _peaks(self) -> list[str]:
        lines = [f"Memory: {self.memory_gb:g} GB, {self.memory_gb_s:,.0f} GB/s."]
        for units, peaks in (("Ordinary", self.vector), ("Matrix", self.matrix)):
            if peaks:
                listed = ", ".join(f"{dtype} {peak:g}" for dtype, peak in peaks.items())
                lines.append(f"{units} units, at most, dense, in TFLOP/s: {listed}.")
        dtype, peak = max((self.matrix or self.vector).items(), key=lambda item: item[0] == "tf32")
        worth = peak * 1e3 / self.memory_gb_s
        lines.append(
            f"So below {worth:.3g} operations in {dtype} for each byte of memory it is memory that "
            "limits."
        )
        return lines

    def _limits(self) -> list[str]:
        caches = [
            f"second cache {self.l2_mib:g} MiB" if self.l2_mib else "",
            f"last cache {self.last_mib:g} MiB" if self.last_mib else "",
        ]
        counted = f"{self.multiprocessors} multiprocessors" if self.multiprocessors else ""
        whole = ", ".join(part for part in (counted, *caches) if part)
        each = [
            f"{self.shared_kib:g} KiB of shared memory",
            f"{self.registers:,} registers of 32 bits",
            f"{self.threads:,} threads" if self.threads else "",
            f"{self.warp} threads that go together",
        ]
        held = ", ".join(part for part in each if part)
        return [*([f"The whole: {whole}."] if whole else []), f"Each multiprocessor: {held}."]


class Cpu(Record):
    """A kind of processor core: what its instruction set says. `flags` are as Linux names them."""

    name: str
    flags: tuple[str, ...] = Field(min_length=1)
    vector_bits: int = Field(gt=0)
    vector_registers: int = Field(gt=0)
    line_bytes: int = Field(gt=0)
    sources: tuple[str, ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The row for a reader."""
        lanes = self.vector_bits // 32
        return "\n".join(
            [
                f"{self.vector_registers} vector registers of {self.vector_bits} bits: {lanes} "
                f"float32 or {lanes // 2} float64 each. A cache line has {self.line_bytes} bytes, "
                f"{self.line_bytes // 4} float32.",
                *self.notes,
                _from(self.sources),
            ]
        )


Device = Gpu | Cpu


class _Table(Record):
    gpu: tuple[Gpu, ...]
    cpu: tuple[Cpu, ...]


@functools.cache
def _table() -> _Table:
    text = files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    return _Table.model_validate(tomllib.loads(text))


def devices() -> tuple[Device, ...]:
    """Every row: the GPUs, then the processors from the widest vectors down."""
    return (*_table().gpu, *_table().cpu)


def device(name: str, flags: Collection[str] = ()) -> Device | None:
    """The row of the device that is called `name`, as the driver calls a GPU, or ``cpu``; a
    processor is known by its `flags`. None for one that has no row.

    >>> device("NVIDIA H100 80GB HBM3").name
    'H100 SXM'
    >>> device("cpu", flags={"avx2", "fma", "sse2"}).name
    'x86-64 core with AVX2'
    """
    if name == "cpu":
        return next((row for row in _table().cpu if set(row.flags) <= set(flags)), None)
    plain = _MAKERS.sub("", name.strip())
    return next((row for row in _table().gpu if re.fullmatch(row.named, plain)), None)


def _from(sources: Collection[str]) -> str:
    return f"From: {'; '.join(sources)}."
