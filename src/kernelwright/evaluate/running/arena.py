"""Memory that the broker shares with a runner: tensors between guards, and the table of calls.

The broker owns it and keeps its own view; a runner gets descriptors. Input memory is sealed once
the broker has its view, so that nobody else can ever map it writable.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kernelwright.core.formats import storage_dtype
from kernelwright.core.problem import ITEM_BYTES, Problem, TensorSpec, Workload

Bytes = NDArray[np.uint8]
Placement = Literal["aligned", "start", "flush", "odd"]

PAGE = 4096
GUARD = 0xA5
POISONS = (0xFF, 0x5A)  # as floats a NaN and a large number, as integers -1 and a large number
# How a process says where on a device an output of its own is: the handle of what holds it, an
# offset and a size; see `native/gate.c`.
NAME_BYTES = 64 + 8 + 8
_ALIGNED_AT = 64  # where torch's allocator puts a large tensor within its first page
_FIXED_SIZE = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
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

    def place(self, nbytes: int, placement: Placement, item_bytes: int = 1) -> Slot:
        """Reserve room for a tensor whose elements have `item_bytes`.

        "aligned" starts it at 64 bytes, as torch does. "start" starts it with its first page, so
        that the byte before it is in a guard; "flush" ends it with its last page, so that the byte
        behind it is. "odd" aligns it to its elements and to nothing more.
        """
        lead = {"aligned": _ALIGNED_AT, "odd": _ALIGNED_AT + item_bytes}.get(placement, 0)
        pages = (nbytes + lead + PAGE - 1) // PAGE
        start, end = self._next, self._next + max(pages, 1) * PAGE
        offset = end - nbytes if placement == "flush" else start + lead
        self.guards.append(end)
        self._next = end + PAGE
        return Slot(offset, nbytes, start, end)

    @property
    def nbytes(self) -> int:
        """How much was placed so far, the first page and the last guard included."""
        return self._next

    def allocate(self) -> None:
        """Get the memory for everything that was placed."""
        self.fd = os.memfd_create("kernelwright", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, self._next)
        self._map = mmap.mmap(self.fd, self._next)
        self.memory = np.frombuffer(self._map, np.uint8)

    def seal(self) -> None:
        """From now on only the broker's own view can write."""
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEAL_FUTURE_WRITE)

    @contextlib.contextmanager
    def lent(self) -> Iterator[int]:
        """A descriptor for one life; see `lent`. The first page is wiped."""
        self.wipe()
        with lent(self.fd) as descriptor:
            yield descriptor

    def wipe(self) -> None:
        """Leave nothing of an earlier life in the first page, which holds no tensor."""
        self.memory[:PAGE] = GUARD

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


@contextlib.contextmanager
def lent(fd: int) -> Iterator[int]:
    """Our memory opened anew, for the start of one life, with no trace of an earlier one.

    It cannot be made shorter (a view past its end is a fault of whoever reads there) or longer
    (what lies past our end is never wiped), and takes no more seals. An inherited descriptor would
    share its offset and flags with ours, and times, mode and attributes stay on the file: each
    would let one life leave a message for the next.
    """
    seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    if not seals & fcntl.F_SEAL_SEAL:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _FIXED_SIZE | fcntl.F_SEAL_SEAL)
    os.fchmod(fd, 0o600)
    os.utime(fd, ns=(0, 0))
    for name in os.listxattr(fd):
        os.removexattr(fd, name)
    readable = seals & (fcntl.F_SEAL_WRITE | _SEAL_FUTURE_WRITE)
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY if readable else os.O_RDWR)
    try:
        yield again
    finally:
        os.close(again)


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

    def place(arena: Arena, spec: TensorSpec) -> Slot:
        return arena.place(spec.nbytes(axes), placement, ITEM_BYTES[spec.dtype])

    return Call(
        tuple(place(inputs, spec) for spec in problem.inputs),
        tuple(place(outputs, spec) for spec in problem.outputs),
        tuple(axes[name] for name in problem.axes),
    )


def as_tensor(data: Bytes, spec: TensorSpec) -> NDArray[Any]:
    """A tensor's bytes as the flat array that `agreement.compare` takes."""
    return data.view(storage_dtype(spec.dtype))


def write_table(
    calls: Sequence[Call], inputs: Arena, outputs: Arena, addresses: Slot | None = None
) -> int:
    """A sealed descriptor with the table of calls; its layout is described in `native/runner.c`.

    In `addresses` a runner says where in its own memory the outputs are that it returned: eight
    bytes for each output of each call.
    """
    first = calls[0]
    header = [len(first.inputs), len(first.outputs), len(first.axes), len(calls)]
    header += [len(inputs.guards), len(outputs.guards)]
    body = [*header, *inputs.guards, *outputs.guards]
    for call in calls:
        body += [slot.offset for slot in call.inputs] + [slot.nbytes for slot in call.inputs]
        body += [slot.offset for slot in call.outputs] + [slot.nbytes for slot in call.outputs]
        body += call.axes
    body.append(0 if addresses is None else addresses.offset)
    return seal_table(body)


def seal_table(body: Sequence[int]) -> int:
    """A descriptor with these numbers, as int64, that nobody can change."""
    fd = os.memfd_create("kernelwright-table", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, np.asarray(body, np.int64).tobytes())
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd
