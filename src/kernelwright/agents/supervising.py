"""Running an agent's command line in its workspace: within its budget and its time, and to the end.

What it starts ends with it, whatever process group it moved to. What it prints goes into a file of
the run's folder, and what became of it into another.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from kernelwright.agents import opening, workspace
from kernelwright.agents.records import Best
from kernelwright.core.errors import SandboxError, StoreError, UsageError
from kernelwright.core.record import Record
from kernelwright.evaluate.isolation.processes import send, tree
from kernelwright.run.folder import RunFolder

PROMPT = (
    "Read AGENTS.md in this folder and do what it says, by yourself, until the budget is used up "
    "or nothing better comes to mind. Promote the best attempt before you end."
)
PROMPT_VARIABLE = "KERNELWRIGHT_PROMPT"
_MOST_OUTPUT = 64 << 20
_LOOK_EVERY_S = 0.1
_ENDING_S = 10.0
_READ_EVERY_S = 1.0
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER

EndedBy = Literal["itself", "time", "budget", "output", "interrupt"]


class AgentRun(Record):
    """What became of an agent's command. `status` is its exit status, below zero the signal that
    ended it; the attempts are those that it made."""

    command: str
    ended_by: EndedBy
    status: int
    seconds: float
    attempts: int
    promoted: bool
    best: Best | None
    output: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long an agent may take, and how long it may go on when its budget is used up: promoting
    and reporting cost none."""

    seconds: float = 3600.0
    grace_s: float = 180.0
    term_s: float = 5.0


def supervise(
    folder: Path, command: str, limits: Limits, say: Callable[[str], None] = lambda _: None
) -> AgentRun:
    """Run `command` in the workspace `folder` until it ends or must.

    It is given to ``/bin/sh``; `PROMPT` is in its environment as `PROMPT_VARIABLE`. Its input is
    empty.

    Raises:
        UsageError: `folder` is no workspace, or it cannot be started.
        StoreError: its output cannot be kept.
    """
    run = workspace.run_in(folder)
    before = len(opening.read(run).state.steps)
    output = _free_name(run)
    started = time.monotonic()
    others = set(tree(os.getpid()))
    with _opened(output) as file, _adopting():
        running = _start(folder, command, file.fileno())
        say(f"Started in {folder}; what it prints goes to {output}.")
        try:
            ended_by = _watch(running, run, output, limits)
        except KeyboardInterrupt:
            ended_by = "interrupt"
        finally:
            _end(running, limits.term_s, others)
    reading = opening.read(run)
    done = AgentRun(
        command=command,
        ended_by=ended_by,
        status=running.returncode,
        seconds=round(time.monotonic() - started, 3),
        attempts=len(reading.state.steps) - before,
        promoted=reading.state.finish is not None,
        best=reading.attempts().best,
        output=output.name,
    )
    RunFolder(run).write(output.with_suffix(".json").name, done.model_dump_json(indent=2) + "\n")
    return done


def _watch(running: subprocess.Popen[bytes], run: Path, output: Path, limits: Limits) -> EndedBy:
    """Why it is over."""
    started = looked = time.monotonic()
    spent: float | None = None
    while running.poll() is None:
        now = time.monotonic()
        if now - started > limits.seconds:
            return "time"
        if output.stat().st_size > _MOST_OUTPUT:
            return "output"
        if now - looked > _READ_EVERY_S:
            looked = now
            exhausted = opening.read(run).budget().exhausted
            spent = (spent or now) if exhausted else None
        if spent is not None and now - spent > limits.grace_s:
            return "budget"
        time.sleep(_LOOK_EVERY_S)
    return "itself"


def _start(folder: Path, command: str, output: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=folder,
            env={**os.environ, PROMPT_VARIABLE: PROMPT},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError(f"The command cannot be started: {error.strerror}.") from error


def _end(running: subprocess.Popen[bytes], term_s: float, others: set[int]) -> None:
    """Ask its group to end, then end all that it started, wherever it went; not `others`, which
    were there before.

    Raises:
        SandboxError: more keep coming, or one cannot be ended.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(term_s)
    deadline = time.monotonic() + _ENDING_S
    while left := [pid for pid in tree(os.getpid()) if pid not in others]:
        if time.monotonic() > deadline:
            raise SandboxError(f"What the agent started does not end: processes {left[:9]}.")
        send(left, signal.SIGKILL)
        running.poll()
        for pid in left:
            if pid != running.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        time.sleep(_LOOK_EVERY_S / 10)
    running.wait()


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """While this lasts, whatever loses its parent below us becomes a child of ours."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SUBREAPER, 1)
    try:
        yield
    finally:
        libc.prctl(_SUBREAPER, 0)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("xb")
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from error


def _free_name(run: Path) -> Path:
    number = 1
    while (run / f"agent-{number}.log").exists():
        number += 1
    return run / f"agent-{number}.log"
