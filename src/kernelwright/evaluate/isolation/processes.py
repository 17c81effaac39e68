"""A process and its descendants, by their numbers on the host: finding, stopping, continuing.

Where the sandbox has a pid namespace the numbers inside are others; the host's /proc still lists
every descendant, and a signal from here reaches each.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from kernelwright.core.errors import SandboxError

_STANDING = frozenset(b"TtZXx")  # stopped, stopped by a tracer, a zombie, dead
# A thread that waits in the kernel (D) looks at signals before it runs again. One that does so for
# this long waits for what stands still itself, as a parent does after vfork.
_WAITING = ord("D")
_WAIT_S = 0.05
_CHECK_S = 50e-6
_LIMIT_S = 10.0
# A process that was given no processor since it was told to stop cannot have stopped. Seen on a
# loaded machine: runnable for more than ten seconds, with the signal pending.
_STARVED_S, _STARVED_NS = 90.0, 1_000_000
_SETTLING, _SETTLING_S = 10, 0.0001  # how often it is looked again, and how long after
_OWN_DOING_NS = 1_000_000_000
_SET_DUMPABLE = 4


class Unstoppable(SandboxError):
    """Processes did not stand still in time; `own_doing` when they ran instead of stopping.

    What waits for a processor on an overloaded machine gets too little time to have run.
    """

    def __init__(self, message: str, *, own_doing: bool = False):
        super().__init__(message)
        self.own_doing = own_doing


def tree(root: int) -> list[int]:
    """`root` and its descendants that exist now, parents before children."""
    found = [root]
    for pid in found:
        found += children(pid)
    return found


def children(pid: int) -> list[int]:
    """What this process has started, or adopted, and that exists now."""
    found: list[int] = []
    for task in _entries(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            listed = Path(f"/proc/{pid}/task/{task}/children").read_bytes()
            found += map(int, listed.split())
    return found


def inner_number(pid: int) -> int | None:
    """How this process is numbered in its own namespace; None when it is gone."""
    with contextlib.suppress(OSError):
        # A process's name may be no text.
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
        for line in status.splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return None


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 (between two timed blocks; Path costs as much again)
    except OSError:
        return []


def stop(pids: Sequence[int]) -> None:
    """Stop these processes and wait until every thread of each stands still.

    Raises:
        Unstoppable: one still runs in ten seconds; or in ninety, if it never got to.
    """
    started, had_ns = time.monotonic(), cpu_ns(pids)
    send(pids, signal.SIGSTOP)
    for pid in pids:
        while not _stands(pid, started):
            if _waited(pids, started, had_ns):
                raise _unstoppable(pids, time.monotonic() - started, had_ns)
            time.sleep(_CHECK_S)


def stop_descendants(root: int) -> list[int]:
    """Stop all that `root` started, and what is started meanwhile; their numbers.

    `root` itself goes on: it is the sandbox's own, and ends the others when the judge is gone.

    Raises:
        Unstoppable: one still runs, or more keep coming, in ten seconds.
    """
    started = time.monotonic()
    quiet, found = 0, tree(root)[1:]
    had_ns = cpu_ns(found)
    # One look is not enough: what was not looked at yet may wake what was.
    while quiet < 2:
        moving = [pid for pid in found if not _stands(pid, started)]
        send(moving, signal.SIGSTOP)
        quiet = 0 if moving else quiet + 1
        if moving and _waited(found, started, had_ns):
            raise _unstoppable(found, time.monotonic() - started, had_ns)
        if moving:
            time.sleep(_CHECK_S)
        found = tree(root)[1:]
    return found


@functools.cache
def hide() -> None:
    """Keep this process's memory, environment and descriptors from others of the same user.

    It is for sandboxes that share the host's process numbers: /proc then has no more of us than
    our name and command line. It also keeps us from leaving a core file.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_DUMPABLE, 0) != 0:
        raise SandboxError("The judge's own process cannot be hidden from candidates.")


def kill_descendants(root: int) -> None:
    """End all that `root` started. They stand still first, so that none can get away.

    Raises:
        Unstoppable: one still runs, or more keep coming, in ten seconds.
    """
    send(stop_descendants(root), signal.SIGKILL)


def send(pids: Sequence[int], number: signal.Signals) -> None:
    """Send a signal to each that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def cpu_ns(pids: Sequence[int]) -> int:
    """The processor time of these processes by now, in nanoseconds; those that have ended count
    nothing. It grows by nothing while a process stands still."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            # A process's clock, as clock_getcpuclockid(3) numbers it.
            total += time.clock_gettime_ns(~pid << 3 | 2)
    return total


def settled_cpu_ns(pids: Sequence[int]) -> int:
    """As `cpu_ns`, of processes that stand still: what a thread used until it left its processor is
    counted only when it does, a moment after it is said to stand."""
    used = cpu_ns(pids)
    for _ in range(_SETTLING):
        time.sleep(_SETTLING_S)
        before, used = used, cpu_ns(pids)
        if used == before:
            break
    return used


def _waited(pids: Sequence[int], started: float, had_ns: int) -> bool:
    """Whether it was waited for long enough that these processes, told to stop at `started` when
    they had used `had_ns`, stand still."""
    waited_s = time.monotonic() - started
    if waited_s < _LIMIT_S:
        return False
    return waited_s > _STARVED_S or cpu_ns(pids) - had_ns > _STARVED_NS


def _unstoppable(pids: Sequence[int], waited_s: float, had_ns: int) -> Unstoppable:
    ran_ns = cpu_ns(pids) - had_ns
    return Unstoppable(
        f"{len(pids)} processes in the sandbox were told to stop, and {waited_s:.0f} s later not "
        f"all had; they used {ran_ns / 1e9:.1f} s of processor time meanwhile. Where that is "
        "little, the machine is overloaded: try again.",
        own_doing=ran_ns > _OWN_DOING_NS,
    )


def _stands(pid: int, since: float) -> bool:
    """Whether all threads of a process stand still, having been told to at `since`."""
    standing = _STANDING
    if time.monotonic() > since + _WAIT_S:
        standing |= {_WAITING}
    return all(_state(pid, task) in standing for task in _entries(f"/proc/{pid}/task"))


def _state(pid: int, task: str) -> int:
    """The letter of a thread's state, as a byte; X when it has ended."""
    try:
        descriptor = os.open(f"/proc/{pid}/task/{task}/stat", os.O_RDONLY)
    except OSError:
        return ord("X")
    try:
        line = os.read(descriptor, 512)
    except ProcessLookupError:
        return ord("X")
    finally:
        os.close(descriptor)
    # The name before it is the process's own choice and may hold a parenthesis.
    return line[line.rindex(b")") + 2]
