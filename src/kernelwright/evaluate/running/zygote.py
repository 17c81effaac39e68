"""The zygote, seen from the broker: lives of the module lane that need not import torch.

A fresh interpreter imports torch for two seconds before it can look at a candidate. The zygote
has done that once and forks a life per request. A life shares with it, and with no other life,
nothing but the memory that was there before any candidate: its namespaces, its files, its rights
and its filter are those of a process that was started alone. Where that cannot be had (any level
but the best), there is no zygote.
"""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kernelwright.core.cards import passed_on
from kernelwright.core.errors import SandboxError
from kernelwright.core.evaluation import BEST_ISOLATION, Isolation
from kernelwright.evaluate.isolation import cgroup, processes, sandbox, walls
from kernelwright.evaluate.native.programs import confine_library, gate

MESSAGE_BYTES = 1 << 17
DESCRIPTORS = 6  # log, filter, control, table, inputs, outputs
_PROCESS = "kernelwright.evaluate.running.zygote_process"
_HIDDEN = "/mnt"
_START_S = 120.0
_FORK_S = 20.0
_POLL_S = 0.02
_PATIENCE = 2  # after so many failures it is not asked again
# The processes that torch.compile would have compile its kernels find no GPU from behind the walls
# ("Could not find an active GPU backend", torch 2.11), so it compiles them where it is.
GPU_MODULE_SETTINGS = {"TORCHINDUCTOR_COMPILE_THREADS": "1"}
# Read when it is needed, and not when a library is loaded.
_READ_LATE = frozenset(
    {
        "OMP_NUM_THREADS",
        "TORCHINDUCTOR_COMPILE_THREADS",
        "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS",
    }
)
_READ_AT_START = ("OMP_", "GOMP_", "KMP_", "MKL_", "TORCH", "PYTORCH", "LD_", "PYTHON")


Program = Literal["module_runner", "ahead"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A life of one of our programs for modules: its arguments before the descriptors, and its
    variables."""

    program: Program
    arguments: Sequence[str]
    environment: Mapping[str, str]


@dataclass
class _Forked:
    """A life's outermost process, as `subprocess.Popen` would show it."""

    pid: int
    inner: int
    listen: Callable[[float], bool]
    ended: dict[int, int] = field(repr=False)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status once it has ended."""
        deadline = time.monotonic() + (_FORK_S if timeout is None else timeout)
        while self.inner not in self.ended:
            if time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired("a life", timeout or _FORK_S)
            if not self.listen(_POLL_S):
                return -signal.SIGKILL
        return self.ended[self.inner]


def reachable() -> bool:
    """Whether the interpreter lies where a life can see it: each gets a /tmp of its own."""
    return not any(folder.is_relative_to("/tmp") for folder in sandbox.python_folders())


class Zygote:
    """One zygote for one folder of a judge, started when first needed and again when it ended."""

    def __init__(self, folder: Path, *, gpu: bool = False, triton: bool | None = None):
        """`folder` is a judge's: what lives may read beside Python is in it. With `gpu` they see
        the nodes of NVIDIA's driver, of which the zygote itself makes no use. With `triton`, as by
        default with `gpu`, it has done what Triton does before its first kernel."""
        self.forked = 0  # lives so far
        self._gpu = gpu
        self._triton = gpu if triton is None else triton
        self._folder = folder
        self._failures = 0
        self._lock = threading.Lock()
        self._child: sandbox.Child | None = None
        self._socket: socket.socket | None = None
        self._pid = 0
        self._ended: dict[int, int] = {}

    def serves(self, command: sandbox.Command, level: Isolation, request: Request) -> bool:
        """Whether a life can be forked instead of started: it must lose nothing by it.

        A control group is entered before anything else runs, and some variables are only read
        when a library is loaded; the number of threads is not one of those.
        """
        early = set(request.environment) - _READ_LATE
        return (
            level == BEST_ISOLATION
            and reachable()
            and command.gpu == self._gpu
            and not cgroup.roots()
            and not any(name.startswith(_READ_AT_START) for name in early)
            and self._failures < _PATIENCE
        )

    def start(self, command: sandbox.Command, request: Request, log: Path) -> sandbox.Child:
        """A life forked for `command`, whose `argv` is not used.

        Raises:
            SandboxError: the zygote does not start, or does not answer.
        """
        with self._lock:
            self._come_up()
            inner = self._fork(command, request, log)
            pid = self._number_outside(inner)
            self.forked += 1
        forked = _Forked(pid, inner, self._listen, self._ended)
        return sandbox.Child(forked, log)

    def _fork(self, command: sandbox.Command, request: Request, log: Path) -> int:
        reads = [path for path in command.reads if path.is_relative_to(self._folder)]
        message = {
            "reads": [str(path) for path in reads],
            "folder": str(self._folder),
            "options": walls.options(command, BEST_ISOLATION, Path("/tmp")),
            "program": request.program,
            "arguments": list(request.arguments),
            "environment": sandbox.environment("/tmp", request.environment),
        }
        # Another file each time: attributes that a life puts on its log would outlive it.
        log.unlink(missing_ok=True)
        with (
            log.open("wb") as output,
            walls.filter_descriptor(command, BEST_ISOLATION) as filter_fd,
        ):
            assert filter_fd is not None
            assert self._socket is not None
            descriptors = [output.fileno(), filter_fd, *command.descriptors]
            try:
                socket.send_fds(self._socket, [json.dumps(message).encode()], descriptors)
            except OSError as error:
                raise self._broken(str(error)) from error
            return int(self._await("forked", _FORK_S))

    def _number_outside(self, inner: int) -> int:
        """The host's number of the zygote's child `inner`."""
        for pid in processes.children(self._pid):
            if processes.inner_number(pid) == inner:
                return pid
        raise self._broken("a life was gone before it began")

    @property
    def _settings(self) -> dict[str, str]:
        """What may be read when a library is loaded, which is before a life has its own."""
        return {**passed_on(), **GPU_MODULE_SETTINGS} if self._gpu else {}

    def _come_up(self) -> None:
        if self._child is not None and self._child.ending(0)[0] is None:
            return
        self._end()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log = self._folder / "zygote.log"
        # It ends with the broker because its socket does. Ending it with its parent would end it
        # with the thread that happened to start it.
        flags = ["--cap-add", "ALL", *walls.system_flags()]
        if self._gpu:
            flags += walls.gpu_flags()
        ours_too = (confine_library(), *((gate(),) if self._gpu else ()))
        for path in (*ours_too, *sandbox.python_folders()):
            flags += ["--ro-bind", str(path), str(path)]
        flags += ["--ro-bind", str(self._folder), f"{_HIDDEN}/folder"]
        # The kernel gives a life a /proc of its own only where a whole one can be seen.
        flags += ["--bind", "/proc", f"{_HIDDEN}/proc"]
        flags += ["--dir", str(self._folder), "--remount-ro", "/", "--chdir", "/tmp", "--"]
        program = [sys.executable, "-I", "-B", "-m", _PROCESS, str(theirs.fileno())]
        argv = [walls.bwrap(), *flags, *program, str(confine_library()), _HIDDEN]
        argv += ["triton"] if self._triton else []
        try:
            output = log.open("wb")
        except OSError as error:
            theirs.close()
            ours.close()
            raise self._broken(str(error)) from error
        with theirs, output:
            process = subprocess.Popen(
                argv, env=sandbox.environment("/tmp", self._settings),
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True, cwd="/",
            )  # fmt: skip
        self._child, self._socket = sandbox.Child(process, log), ours
        self._await("ready", _START_S)
        self._pid = processes.tree(process.pid)[-1]

    def _await(self, word: str, limit_s: float) -> Any:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            said = self._hear(_POLL_S)
            if word in said:
                return said[word]
        raise self._broken(f"it did not answer in {limit_s:g} s")

    def _hear(self, limit_s: float) -> dict[str, Any]:
        """One message, or an empty one when none came. What ended is noted."""
        assert self._socket is not None
        ready, _, _ = select.select([self._socket], [], [], limit_s)
        if not ready:
            return {}
        message = self._socket.recv(MESSAGE_BYTES)
        if not message:
            raise self._broken("it ended")
        said: dict[str, Any] = json.loads(message)
        if "ended" in said:
            self._ended[said["ended"]] = said["code"]
        return said

    def _listen(self, limit_s: float) -> bool:
        """Take a message if one comes; False when the zygote is gone, and all lives with it."""
        with self._lock, contextlib.suppress(SandboxError):
            if self._socket is not None:
                self._hear(limit_s)
                return True
        return False

    def _broken(self, why: str) -> SandboxError:
        log = self._child.log_text(2000) if self._child else ""
        self._failures += 1
        self._end()
        return SandboxError(
            f"The process that module lives are forked from is broken: {why}\n{log}"
        )

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
        if self._socket is not None:
            self._socket.close()
        self._child = self._socket = None
        self._ended = {}

    def close(self) -> None:
        """End it, and with it every life that it forked."""
        with self._lock:
            self._end()
