"""Whether anything had to wait for a processor: a busy machine makes wrong ratios and late answers.

Two threads that meet at a barrier lose a whole time slice when one of them is not running, which
can make a baseline sixty times slower than it is. The kernel counts such waiting (PSI).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_FILE = Path("/proc/pressure/cpu")
# Our own broker wakes up beside whoever is timed; that alone makes a few percent.
_ALLOWED = 0.15
# A machine that is shared by four is slower by that; who shares it with forty waits elsewhere.
_PATIENCE = 4

T = TypeVar("T")


def waited_us() -> int | None:
    """Microseconds so far in which something was runnable and did not run; None where the kernel
    does not count them."""
    try:
        found = re.search(r"^some .*total=(\d+)", _FILE.read_text())
    except OSError:
        return None
    return int(found[1]) if found else None


def disturbed(before_us: int | None, after_us: int | None, elapsed_s: float) -> bool:
    """Whether the time between two readings was not quiet. False when nobody counts."""
    if before_us is None or after_us is None:
        return False
    return after_us - before_us > _ALLOWED * elapsed_s * 1e6


def is_busy() -> bool:
    """Whether in the last ten seconds much had to wait; False when nobody counts."""
    try:
        found = re.search(r"^some avg10=([\d.]+)", _FILE.read_text())
    except OSError:
        return False
    return found is not None and float(found[1]) > 100 * _ALLOWED


def patiently(
    receive: Callable[[float], T | None], limit_s: float, busy: Callable[[], bool] = is_busy
) -> T | None:
    """What `receive` returns within `limit_s` seconds, None when nothing came.

    On a busy machine the limit is given again, up to four times in all: a candidate is not charged
    for the time that others took from it. One that keeps the machine busy by itself only hangs for
    longer. Nothing is read before the first limit is over, since replies are timed.
    """
    received = receive(limit_s)
    for _ in range(_PATIENCE - 1):
        if received is not None or not busy():
            break
        received = receive(limit_s)
    return received
