"""What calls must leave alone in the process that makes them: rounding, signals, folder, and so on.

Two sources. The runner compares its own state with what it was before anything was loaded; a
candidate in the same process could forge that answer, so it is for mistakes and not for malice.
What the kernel knows of the runner's main thread (`/proc`, its affinity) is read from outside.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from kernelwright.core.evaluation import Rejected, Stage
from kernelwright.evaluate.running.life import Life
from kernelwright.evaluate.running.runner import threads

_LIMIT_S = 10.0
_SETTLE_S = 0.05  # OpenMP's own threads spin for a millisecond or so after a region
_WATCH_S = 0.3
_IDLE_NS = 8_000_000  # a thread that works gets more than this, however busy the machine is
# The bits of the runner's answer; see OP_STATE in native/runner.c.
_ROUNDING = {
    0: "small numbers are flushed to zero (FTZ or DAZ is on)",
    1: "the rounding mode is another",
    2: "floating-point exceptions are masked differently",
}
_OTHER = {
    3: "a signal has another handler",
    4: "other signals are blocked",
    5: "the current folder is another",
    6: "the umask is another",
    7: "the environment was changed",
    8: "a timer is running",
}


def changed_state(running: Life, stage: Stage) -> Rejected | None:
    """What a native candidate changed for its caller; None when nothing.

    Raises:
        LifeEnded: the runner did not answer.
    """
    bits = running.ask("state", stage=stage, limit_s=_LIMIT_S).claimed_ns
    rounding = [text for bit, text in _ROUNDING.items() if bits >> bit & 1]
    other = [text for bit, text in _OTHER.items() if bits >> bit & 1]
    affinity = _affinity(running.pid)
    if affinity is not None and affinity != os.sched_getaffinity(0):
        other.append("the calling thread may run on other processors than before")
    if stage == "core" and _goes_on_working(running.pid):
        other.append("threads that it started go on working")
    if not rounding and not other:
        return None
    return Rejected(
        rule="floating_point_state" if rounding else "process_state",
        evidence=f"After its calls, {'; '.join([*rounding, *other])}. "
        "Put back what the caller had before returning.",
    )


def _affinity(pid: int) -> set[int] | None:
    """The processors of a process's main thread; None when it has ended."""
    try:
        return os.sched_getaffinity(pid)
    except ProcessLookupError:
        return None


def _goes_on_working(pid: int) -> bool:
    """Whether a process with more threads than OpenMP's is busy while nobody calls it."""
    if len(_tasks(pid)) <= threads():
        return False
    time.sleep(_SETTLE_S)
    before, deadline = _running_ns(pid), time.monotonic() + _WATCH_S
    while time.monotonic() < deadline:
        time.sleep(_SETTLE_S)
        if _running_ns(pid) - before > _IDLE_NS:
            return True
    return False


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _running_ns(pid: int) -> int:
    """How long the threads of a process have run by now, those that have ended not counted."""
    total = 0
    for task in _tasks(pid):
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (OSError, IndexError):
            continue  # it ended meanwhile, or this kernel keeps no such account
    return total
