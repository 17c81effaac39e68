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
    the program that is started; see `sandbox.Command`.
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
        child = _begin(body, command, level, log)
    running = Life(child, ours)
    try:
        _await_first_answer(running)
        yield running
    finally:
        running.end()


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
