"""The allocation regimes, for our own processes that hold torch: baselines and the module runner.

What a call pays for its output's memory depends on glibc's state, and often outweighs the kernel
(8192 page faults for 32 MiB). So every process that is timed is put in the same state:

returned  Blocks of 32 MiB and more come as fresh pages on every call and smaller ones are reused
          warm: what glibc settles on by itself in a process that runs for a while. It holds only
          while the heap has no free chunk that large, so `settle` first plugs those.
buffer    Every block comes from memory that was touched before, so nobody pays for pages: the
          like of a candidate that is handed its output buffer.

`native/runner.c` does the same for the native lane.
"""

from __future__ import annotations

import ctypes

from kernelwright.core.evaluation import Regime

THRESHOLD = 32 << 20  # the largest that glibc allows, and where its own adjustment ends
# Blocks that are aligned leave gaps, so the heap moves on to memory not touched yet for its first
# few rounds of the same requests; then it stays.
SETTLING_ROUNDS = 6
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_IS_MMAPPED = 2
_MOST_PLUGS = 512


class Allocator:
    """This process's glibc. Does nothing where the C library is another one."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._works = hasattr(self._libc, "mallopt")
        self._plugs: list[int] = []
        if self._works:
            self._libc.malloc.restype = ctypes.c_void_p
            self._libc.malloc.argtypes = [ctypes.c_size_t]
            self._libc.free.argtypes = [ctypes.c_void_p]
            self._libc.mallopt(_M_MMAP_THRESHOLD, THRESHOLD)
            self._libc.mallopt(_M_TRIM_THRESHOLD, -1)
        self._regime: Regime | None = None

    def settle(self, regime: Regime) -> None:
        """Put the heap in the state of `regime`; cheap when it is in it already."""
        if regime == self._regime or not self._works:
            return
        self._regime = regime
        self._unplug()
        self._libc.mallopt(_M_MMAP_MAX, 65536 if regime == "returned" else 0)
        if regime == "returned":
            self._plug()

    def _plug(self) -> None:
        """Take every free chunk of the heap that could serve a large block."""
        for _ in range(_MOST_PLUGS):
            block = self._libc.malloc(THRESHOLD)
            if block is None:
                return
            size_field = ctypes.c_size_t.from_address(block - ctypes.sizeof(ctypes.c_size_t))
            if size_field.value & _IS_MMAPPED:
                self._libc.free(block)
                return
            self._plugs.append(block)

    def _unplug(self) -> None:
        for block in self._plugs:
            self._libc.free(block)
        self._plugs.clear()
