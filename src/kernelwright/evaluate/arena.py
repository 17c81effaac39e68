"""Memory that the broker shares with a runner: tensors between guards, and the table of calls.

The broker owns it and keeps its own view; a runner gets descriptors. Input memory is sealed once
the broker has its view, so that nobody else can ever map it writable.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kernelwright.core.agreement import storage_dtype
from kernelwright.core.problem import Problem, TensorSpec, Workload

Bytes = NDArray[np.uint8]
Placement = Literal["aligned", "flush"]

PAGE = 4096
GUARD = 0xA5
POISONS = (0xFF, 0x5A)  # as floats a NaN and a large number, as integers -1 and a large number
_ALIGNED_AT = 64  # where torch's allocator puts a large tensor within its first page
_SEAL_FUTURE_WRITE = 0x0010  # linux/fcntl.h; Python has no name for it before 3.13


@dataclass(frozen=True)
class Slot:
    """Where one tensor lies. The pages from `start` to `end` are its own, a guard page follows."""

    offset: int
    nbytes: int
    start: int
    end: int


class Arena:
    """A block of shared memory, laid out by `place` and then allocated by `allocate`."""

    def __init__(self) -> None:
        self._next = PAGE
        self.guards = [0]
        self.fd = -1
        self._map: mmap.mmap | None = None
        self.memory: Bytes = np.empty(0, np.uint8)

    def place(self, nbytes: int, placement: Placement) -> Slot:
        """Reserve room for a tensor.

        "aligned" starts it at 64 bytes, as torch does; "flush" ends it with its last page, so that
        one byte past the end is in the guard, and its start is aligned to its elements only.
        """
        pages = (nbytes + (_ALIGNED_AT if placement == "aligned" else 0) + PAGE - 1) // PAGE
        start, end = self._next, self._next + max(pages, 1) * PAGE
        offset = start + _ALIGNED_AT if placement == "aligned" else end - nbytes
        self.guards.append(end)
        self._next = end + PAGE
        return Slot(offset, nbytes, start, end)

    def allocate(self) -> None:
        """Get the memory for everything that was placed."""
        self.fd = os.memfd_create("kernelwright", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, self._next)
        self._map = mmap.mmap(self.fd, self._next)
        self.memory = np.frombuffer(self._map, np.uint8)

    def seal(self) -> None:
        """From now on only the broker's own view can write."""
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEAL_FUTURE_WRITE | fcntl.F_SEAL_SHRINK)

    def data(self, slot: Slot) -> Bytes:
        """The bytes of a tensor."""
        return self.memory[slot.offset : slot.offset + slot.nbytes]

    def poison(self, slot: Slot, value: int) -> None:
        """Fill a tensor with `value` and everything around it with the guard pattern."""
        self.memory[slot.start : slot.end + PAGE] = GUARD
        self.data(slot)[:] = value

    def intact(self, slot: Slot) -> bool:
        """Whether everything around a tensor still holds the guard pattern."""
        before = self.memory[slot.start : slot.offset]
        after = self.memory[slot.offset + slot.nbytes : slot.end + PAGE]
        return bool((before == GUARD).all() and (after == GUARD).all())

    def close(self) -> None:
        """Give the memory back. Views that are still held keep it alive until they go."""
        self.memory = np.empty(0, np.uint8)
        self._map = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@dataclass(frozen=True)
class Call:
    """One call's tensors: where its inputs and outputs lie, and its sizes."""

    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    axes: tuple[int, ...]


def place_call(
    problem: Problem, workload: Workload, inputs: Arena, outputs: Arena, placement: Placement
) -> Call:
    """Reserve room for one call of `problem` under `workload` in both arenas."""
    axes = workload.axes
    return Call(
        tuple(inputs.place(spec.nbytes(axes), placement) for spec in problem.inputs),
        tuple(outputs.place(spec.nbytes(axes), placement) for spec in problem.outputs),
        tuple(axes[name] for name in problem.axes),
    )


def as_tensor(data: Bytes, spec: TensorSpec) -> NDArray[Any]:
    """A tensor's bytes as the flat array that `agreement.compare` takes."""
    return data.view(storage_dtype(spec.dtype))


def write_table(calls: Sequence[Call], inputs: Arena, outputs: Arena) -> int:
    """A sealed descriptor with the table of calls; its layout is described in `native/runner.c`."""
    first = calls[0]
    header = [len(first.inputs), len(first.outputs), len(first.axes), len(calls)]
    header += [len(inputs.guards), len(outputs.guards)]
    body = [*header, *inputs.guards, *outputs.guards]
    for call in calls:
        body += [slot.offset for slot in call.inputs] + [slot.nbytes for slot in call.inputs]
        body += [slot.offset for slot in call.outputs] + [slot.nbytes for slot in call.outputs]
        body += call.axes
    fd = os.memfd_create("kernelwright-table", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, np.asarray(body, np.int64).tobytes())
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd
