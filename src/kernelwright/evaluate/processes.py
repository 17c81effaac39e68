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
_CHECK_S = 50e-6
_LIMIT_S = 10.0
_SET_DUMPABLE = 4


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
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
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
        SandboxError: one still runs in ten seconds.
    """
    deadline = time.monotonic() + _LIMIT_S
    send(pids, signal.SIGSTOP)
    _await_standstill(pids, deadline)


def stop_descendants(root: int) -> list[int]:
    """Stop all that `root` started, and what is started meanwhile; their numbers.

    `root` itself goes on: it is the sandbox's own, and ends the others when the judge is gone.

    Raises:
        SandboxError: one still runs, or more keep coming, in ten seconds.
    """
    deadline = time.monotonic() + _LIMIT_S
    quiet, found = 0, tree(root)[1:]
    # One look is not enough: what was not looked at yet may wake what was.
    while quiet < 2:
        moving = [pid for pid in found if not _stands(pid)]
        send(moving, signal.SIGSTOP)
        quiet = 0 if moving else quiet + 1
        if moving and time.monotonic() > deadline:
            raise SandboxError(
                f"Processes in the sandbox keep running or being started ({len(moving)} of "
                f"{len(found)}) {_LIMIT_S:g} s after they were stopped. Try again."
            )
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
        SandboxError: one still runs, or more keep coming, in ten seconds.
    """
    send(stop_descendants(root), signal.SIGKILL)


def send(pids: Sequence[int], number: signal.Signals) -> None:
    """Send a signal to each that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _await_standstill(pids: Sequence[int], deadline: float) -> None:
    for pid in pids:
        while not _stands(pid):
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"Process {pid} in the sandbox could not be stopped within {_LIMIT_S:g} s; "
                    "the machine is overloaded, or the process waits in the kernel. Try again."
                )
            time.sleep(_CHECK_S)


def _stands(pid: int) -> bool:
    return all(_state(pid, task) in _STANDING for task in _entries(f"/proc/{pid}/task"))


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
