"""The sandbox: how a process that runs or builds a candidate is started, stopped and ended.

What it can reach is decided by its level, which `levels` finds out and `walls` builds.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import Isolation
from kernelwright.evaluate.isolation import processes
from kernelwright.evaluate.isolation.cgroup import Group
from kernelwright.evaluate.isolation.walls import (
    WORK,
    Command,
    Limits,
    filtered,
    in_namespaces,
    new_life_group,
    walled,
    work_path,
)

_KILLED_S = 30.0  # until a process that was killed is gone, on the slowest of machines

__all__ = ["WORK", "Child", "Command", "Limits", "python_folders", "start", "work_path"]


class Process(Protocol):
    """What we need of a `subprocess.Popen`."""

    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status once it has ended; raises `subprocess.TimeoutExpired`."""
        ...


@dataclass
class Child:
    """A process that was started in the sandbox, with everything that it starts itself.

    `alone` says that the filter keeps it from starting any, so that it is found only once.
    Otherwise the outermost process is the sandbox's own, which goes on while the others stop.
    """

    process: Process
    log: Path
    alone: bool = False
    scratch: tempfile.TemporaryDirectory[str] | None = None
    group: Group | None = None
    program: int | None = None
    _stopped: list[int] = field(default_factory=list)
    _had_ns: int = 0
    _halted_ns: int = 0

    @functools.cached_property
    def main(self) -> int:
        """The program that was started, by its number on this side; those in front of it are the
        sandbox's own. First asked for before it can start others."""
        return self.program or processes.tree(self.process.pid)[-1]

    @functools.cached_property
    def _handle(self) -> int:
        """What the program is signalled by: its number could be somebody else's by then."""
        handle = os.pidfd_open(self.main)
        weakref.finalize(self, os.close, handle)
        return handle

    def ready(self) -> None:
        """Make what `halt` needs, which takes longer than a clock should wait for."""
        with contextlib.suppress(ProcessLookupError):
            self._handle  # noqa: B018 (made on first use)

    def halt(self) -> None:
        """Tell the program to stop, without a look at whether it does."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGSTOP)

    def note_halt(self) -> None:
        """Note the processor time that the program has used, for `late_ns`."""
        self._halted_ns = processes.cpu_ns([self.main])

    def late_ns(self) -> int:
        """The processor time that the program used between `note_halt` and now."""
        return processes.cpu_ns([self.main]) - self._halted_ns

    def pause(self) -> None:
        """Stop every process of this life, and return when all of their threads stand still.

        Raises:
            Unstoppable: one still runs in ten seconds.
        """
        if self.alone:
            self._stopped = [self.main]
            processes.stop(self._stopped)
        else:
            self._stopped = processes.stop_descendants(self.process.pid)
        self._had_ns = processes.settled_cpu_ns(self._stopped)

    def moved_ns(self) -> int:
        """The processor time that was used since all stood still; 0 unless they are paused."""
        return processes.cpu_ns(self._stopped) - self._had_ns if self._stopped else 0

    def resume(self) -> None:
        """Let what `pause` stopped go on."""
        processes.send(self._stopped, signal.SIGCONT)
        self._stopped = []

    def kill(self) -> None:
        """End it, and with it (inside namespaces a moment later) everything that it started.

        What waits for a GPU that is lost cannot be killed; it is not waited for for ever.
        """
        if self.scratch is not None:
            # Nothing but its own parent, which adopts whatever loses its own, holds it together.
            with contextlib.suppress(SandboxError):
                processes.kill_descendants(self.process.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_KILLED_S)
        _clear(self.scratch, self.group)

    def log_text(self, limit: int = 20_000) -> str:
        """What it printed, at most `limit` characters from the end."""
        data = self.log.read_bytes()[-limit:]
        return data.decode("utf-8", "replace")

    def ending(self, timeout_s: float) -> tuple[int | None, str | None]:
        """Exit status and signal name once it has ended; (None, None) while it runs."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None, None
        # bwrap and confine report a program that a signal ended as 128 + the signal.
        number = -code if code < 0 else code - 128
        if number > 0 and number in {s.value for s in signal.Signals}:
            return code, signal.Signals(number).name
        return code, None


def _clear(scratch: tempfile.TemporaryDirectory[str] | None, group: Group | None) -> None:
    if group is not None:
        group.kill()
    if scratch is not None:
        scratch.cleanup()


def environment(scratch: str, settings: Mapping[str, str]) -> dict[str, str]:
    """All that a sandboxed process finds in its environment; `scratch` is a folder of its own."""
    own = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    # Some libraries ask for the user's name, and there are no accounts to look it up in.
    return own | {"HOME": scratch, "TMPDIR": scratch, "USER": "nobody"} | dict(settings)


def start(command: Command, level: Isolation, log: Path) -> Child:
    """Start `command` at `level`, its output going to the file `log`.

    Raises:
        SandboxError: the operating system refused to start it.
        Unavailable: the sandbox needs something that is not installed.
    """
    scratch = None
    if not in_namespaces(level):
        processes.hide()
        scratch = tempfile.TemporaryDirectory(
            prefix="kernelwright-life-", ignore_cleanup_errors=True
        )
    own = scratch.name if scratch else "/tmp"
    group = new_life_group(command.limits)
    # Another file each time: attributes that a process puts on its log would outlive it.
    log.unlink(missing_ok=True)
    try:
        with (
            walled(command, level, Path(own), group) as (argv, descriptors),
            log.open("wb") as output,
        ):
            process = subprocess.Popen(
                argv,
                env=environment(own, command.environment),
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/" if scratch is None else command.work or own,
            )
    except OSError as error:
        _clear(scratch, group)
        raise SandboxError(
            f"The sandbox could not be started: {error}. "
            "Run `kernelwright doctor` to see what works here."
        ) from error
    return Child(process, log, filtered(level) and not command.processes, scratch, group)


def python_folders() -> list[Path]:
    """The interpreter, its packages and our own, where they are outside the system folders."""
    # To import a package Python lists the folder that it is in, which may be a checkout's.
    source = Path(__file__).parents[3]
    folders = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), source}
    return sorted(f for f in folders if not str(f).startswith(("/usr/", "/opt/")))
