"""Starting a runner: what it needs, and a life that has begun and will end."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import Isolation
from kernelwright.evaluate.isolation import sandbox
from kernelwright.evaluate.running.arena import Arena, lent
from kernelwright.evaluate.running.life import Life, LifeEnded
from kernelwright.evaluate.running.zygote import Request, Zygote

_FIRST_ANSWER_S = 120.0  # the module runner imports torch before it answers


@dataclass(frozen=True, kw_only=True)
class Body:
    """How to start a runner: the program in front of the descriptors, and what it may read.

    `kept` are descriptors that it inherits besides. `watched` says that the runner is a child of
    the program that is started; see `sandbox.Command`. `early` may have a life that has begun.
    """

    argv: tuple[str, ...]
    reads: tuple[Path, ...]
    environment: dict[str, str]
    limits: sandbox.Limits
    processes: bool = False
    gpu: bool = False
    watched: bool = False
    kept: tuple[int, ...] = ()
    forked: tuple[Zygote, Request] | None = None  # how to have it without importing torch anew
    early: Early | None = None


@contextlib.contextmanager
def life(
    body: Body, table_fd: int, inputs: Arena, outputs: Arena, level: Isolation, log: Path
) -> Iterator[Life]:
    """A runner over these arenas, ended when the block is left.

    It has answered once, before it has seen anything of the candidate: what goes wrong until then
    is our own failure, and what goes wrong later is not.

    Raises:
        SandboxError: it could not be started, or did not answer.
    """
    early = body.early.taken(body.argv) if body.early is not None else None
    if early is not None:
        inputs.wipe()
        outputs.wipe()
    running = early or _started(body, table_fd, inputs, outputs, level, log)
    try:
        _await_first_answer(running)
        yield running
    finally:
        running.end()


class Early:
    """A life that was started before it is needed, for the first who asks for one like it."""

    def __init__(self, running: Life, argv: tuple[str, ...]):
        self._running: Life | None = running
        self._argv = argv

    def taken(self, argv: tuple[str, ...]) -> Life | None:
        """The life, if it was started as `argv` and nobody has it yet."""
        if argv != self._argv:
            return None
        running, self._running = self._running, None
        return running

    def end(self) -> None:
        """End the life, unless somebody has it, who will."""
        if self._running is not None:
            self._running.end()


@contextlib.contextmanager
def started_early(
    body: Body, table_fd: int, inputs: Arena, outputs: Arena, level: Isolation, log: Path
) -> Iterator[Early]:
    """The start of a life, which takes half a second on a GPU. The candidate is not loaded before
    somebody takes it. `log` is its own.

    Raises:
        SandboxError: it could not be started.
    """
    early = Early(_started(body, table_fd, inputs, outputs, level, log), body.argv)
    try:
        yield early
    finally:
        early.end()
        log.unlink(missing_ok=True)


def _started(
    body: Body, table_fd: int, inputs: Arena, outputs: Arena, level: Isolation, log: Path
) -> Life:
    """A runner that was started just now."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, lent(table_fd) as table, inputs.lent() as given, outputs.lent() as taken:
        descriptors = [theirs.fileno(), table, given, taken]
        command = sandbox.Command(
            argv=[*body.argv, *map(str, descriptors)],
            reads=body.reads,
            environment=body.environment,
            descriptors=[*descriptors, *body.kept],
            limits=body.limits,
            processes=body.processes,
            gpu=body.gpu,
            watched=body.watched,
        )
        return Life(_begin(body, command, level, log), ours)


def _begin(body: Body, command: sandbox.Command, level: Isolation, log: Path) -> sandbox.Child:
    """Forked where that is possible, else started."""
    if body.forked is not None:
        zygote, request = body.forked
        if zygote.serves(command, level, request):
            with contextlib.suppress(SandboxError):
                return zygote.start(command, request, log)
    return sandbox.start(command, level, log)


def _await_first_answer(running: Life) -> None:
    try:
        running.ask("ping", stage="load", limit_s=_FIRST_ANSWER_S)
        _ = running.pid
    except LifeEnded as ended:
        raise SandboxError(
            f"A runner did not come up in the sandbox: {ended.outcome}\n"
            "Run `kernelwright doctor` to see what works here."
        ) from ended


def threads() -> int:
    """How many threads a candidate and its baselines get: the processors we may use."""
    return len(os.sched_getaffinity(0))
