"""The gate of a queue on a GPU, seen from the broker: it opens it, and sees when the work is done.

Between the two the device works on what was queued, and nobody's processor has a part in it. The
words are those of `native/gate.h`, in the first page of memory that the broker shares with the
process that queued.
"""

from __future__ import annotations

import secrets
import time

import numpy as np

from kernelwright.evaluate.running.arena import PAGE, Arena
from kernelwright.evaluate.timing.device_layout import DONE_AT, GATE_AT

_WORD = 4
# How long the device may need to come back to a process that waits at its gate: a slice of its time
# is some 2 ms (seen on an H100).
_SLICE_S = 0.003


class Gate:
    """The gate of the process that `arena` is lent to."""

    def __init__(self, arena: Arena):
        self._words = arena.memory[:PAGE].view(np.uint32)
        self.token = 0

    def renew(self) -> int:
        """A token for the next queue, which nobody can guess and none had before."""
        self.token = secrets.randbelow(1 << 31) + 1
        return self.token

    def open(self) -> None:
        """Let what is queued behind the gate go on."""
        self._words[GATE_AT // _WORD] = self.token

    def settle(self) -> None:
        """Wait until the device is back at the gate, after others used it."""
        time.sleep(_SLICE_S)

    def wait(self, limit_s: float) -> bool:
        """Wait until the work is said to be done; False when it is not in `limit_s` seconds."""
        words, at, token = self._words, DONE_AT // _WORD, self.token
        deadline = time.monotonic() + limit_s
        while words[at] != token:
            if time.monotonic() > deadline:
                return False
        return True
