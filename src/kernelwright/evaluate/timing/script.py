"""What the keeper is told to do, in memory that it shares with the broker (`native/keeper.c`)."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kernelwright.evaluate.running.arena import NAME_BYTES

Words = NDArray[np.uint32]

STEPS, NAMES, SAMPLES = 16384, 4096, 4096
# The places that a step copies from and to; `native/keeper.c` has the same.
WINDOW, POOL, INPUTS, OUTPUTS, SCRATCH, OPENED = range(6)
FILLED = -1


class _Memory(ctypes.Structure):
    _fields_ = (
        ("steps", ctypes.c_int64 * 5 * STEPS),
        ("names", ctypes.c_char * (NAME_BYTES * NAMES)),
        ("places", ctypes.c_int64 * 2 * SAMPLES),
        ("words", ctypes.c_uint32 * SAMPLES),
    )


class Script:
    """Steps that are queued and then told, the `places` of the words that are noted, and those
    `words`. `fd` is the memory."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("kernelwright-script", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, ctypes.sizeof(_Memory))
        self._memory = _Memory.from_buffer(mmap.mmap(self.fd, 0))
        self._steps = np.ctypeslib.as_array(self._memory.steps)
        self.places = np.ctypeslib.as_array(self._memory.places)
        self.words: Words = np.ctypeslib.as_array(self._memory.words)
        self._queued: list[tuple[int, int, int, int, int]] = []

    def queue(self, to_in: int, to: int, from_in: int, start: int, nbytes: int) -> None:
        """One step more: copy `nbytes` from one place to another, or fill them with the byte
        `start` where `from_in` is `FILLED`."""
        self._queued.append((to_in, to, from_in, start, nbytes))

    def told(self) -> Iterator[tuple[int, bool]]:
        """The queued steps, as many at a time as there is room for: how many, and whether they are
        the last. Nothing is the last of nothing."""
        steps, self._queued = self._queued, []
        for begin in range(0, max(1, len(steps)), STEPS):
            part = steps[begin : begin + STEPS]
            if part:
                self._steps[: len(part)] = part
            yield len(part), begin + STEPS >= len(steps)

    def put_names(self, at: int, said: bytes) -> None:
        """Names of outputs, the first of them in place `at`."""
        names = ctypes.addressof(self._memory) + _Memory.names.offset
        ctypes.memmove(names + NAME_BYTES * at, said, len(said))

    def close(self) -> None:
        """Give the memory back."""
        os.close(self.fd)
