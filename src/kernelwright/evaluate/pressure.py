"""Whether anything had to wait for a processor while we timed: a busy machine makes wrong ratios.

Two threads that meet at a barrier lose a whole time slice when one of them is not running, which
can make a baseline sixty times slower than it is. The kernel counts such waiting (PSI).
"""

from __future__ import annotations

import re
from pathlib import Path

_FILE = Path("/proc/pressure/cpu")
# Our own broker wakes up beside whoever is timed; that alone makes a few percent.
_ALLOWED = 0.15


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
