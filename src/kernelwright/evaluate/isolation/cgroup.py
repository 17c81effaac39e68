"""Limits by control group: memory and tasks of a whole life, where a group was given to us.

Address-space limits count each process for itself; a group counts what they use together. We only
divide a group that is ours: one that systemd marks as delegated (``systemd-run --user --scope
-p Delegate=yes kernelwright ...``), or those that the environment variable KERNELWRIGHT_CGROUP
names (folders below /sys/fs/cgroup, separated by colons), of version 2 or 1.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SETTING = "KERNELWRIGHT_CGROUP"
_MOUNT = Path("/sys/fs/cgroup")
_NUMBERS = itertools.count(1)
_REMOVAL_S = 2.0


@dataclass(frozen=True)
class Group:
    """The groups of one life, one folder in each hierarchy. Not entered yet."""

    folders: tuple[Path, ...]

    @property
    def entries(self) -> list[str]:
        """The files into which a process writes its number to come under the limits."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def kill(self) -> None:
        """End everything inside, where the kernel does that in one go, and remove the group."""
        for folder in self.folders:
            _write(folder / "cgroup.kill", "1")
            _remove(folder)


def _remove(folder: Path) -> None:
    """A group can be removed once its last process is gone."""
    deadline = time.monotonic() + _REMOVAL_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.002)


def missing() -> str | None:
    """None when lives are limited by control group here, else what is in the way."""
    kinds = {kind for root in roots() for kind in _kinds(root)}
    lacking = [name for name in ("memory", "pids") if name not in kinds]
    if not lacking:
        return None
    return (
        f"no control group for {' and '.join(lacking)} is ours to divide; start with `systemd-run "
        f"--user --scope -p Delegate=yes`, or name groups in {SETTING}"
    )


def new_group(memory_bytes: int, tasks: int) -> Group | None:
    """A group with these limits in every hierarchy that is ours; None where none is."""
    name = f"kernelwright-{os.getpid()}-{next(_NUMBERS)}"
    folders = []
    for root in roots():
        folder = root / name
        with contextlib.suppress(OSError):
            folder.mkdir()
            folders.append(folder)
            _limit(folder, memory_bytes, tasks)
    return Group(tuple(folders)) if folders else None


def _limit(folder: Path, memory_bytes: int, tasks: int) -> None:
    _write(folder / "memory.max", str(memory_bytes))
    _write(folder / "memory.swap.max", "0")
    _write(folder / "memory.oom.group", "1")
    _write(folder / "memory.limit_in_bytes", str(memory_bytes))
    _write(folder / "pids.max", str(tasks))


def _write(file: Path, text: str) -> None:
    """Write where the kernel has this file; never make one."""
    with contextlib.suppress(OSError):
        descriptor = os.open(file, os.O_WRONLY)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _kinds(root: Path) -> Sequence[str]:
    """What a group below `root` can limit."""
    if (root / "cgroup.controllers").exists():
        with contextlib.suppress(OSError):
            return (root / "cgroup.subtree_control").read_text().split()
        return ()
    return [kind for kind in ("memory", "pids") if kind in root.parts]


@functools.cache
def roots() -> tuple[Path, ...]:
    """The groups that are ours to divide, made ready for it."""
    named = [Path(part) for part in os.environ.get(SETTING, "").split(":") if part]
    own = _delegated()
    if not named and own is not None:
        _step_aside(own)
        named = [own]
    for root in named:
        for kind in ("+memory", "+pids"):
            _write(root / "cgroup.subtree_control", kind)
    return tuple(root for root in named if os.access(root, os.W_OK))


def _delegated() -> Path | None:
    """Our own group of version 2, when systemd says that it is ours to divide."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        own = next(line[3:] for line in lines if line.startswith("0::"))
        folder = _MOUNT / own.lstrip("/")
        return folder if os.getxattr(folder, "user.delegate") == b"1" else None
    except (OSError, StopIteration):
        return None


def _step_aside(own: Path) -> None:
    """A group with processes of its own cannot hand out limits: move ours one level down."""
    with contextlib.suppress(OSError):
        if (own / "cgroup.procs").read_text().split() == [str(os.getpid())]:
            (own / "kernelwright-broker").mkdir(exist_ok=True)
            _write(own / "kernelwright-broker" / "cgroup.procs", str(os.getpid()))
