"""Starting, asking and ending a worker process of ours, with a bounded log of what it prints."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from kernelwright.core.errors import WorkerError
from kernelwright.problems.channel import Closed, Message, Shared, receive, send

_MODULE = "kernelwright.problems.reference_worker"
_START_TIMEOUT_S = 120.0
_LOG_BYTES = 4000
# The file is somebody's code: it gets what programs need to run, and none of our secrets.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "LD_LIBRARY_PATH",
              "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUDA_HOME",
              "TRITON_CACHE_DIR", "TORCH_HOME", "XDG_CACHE_HOME")  # fmt: skip


class Ended(Exception):
    """The process ended; the message says how, with the end of what it printed."""


@dataclass
class _Log:
    """The last few thousand bytes of a stream, read as they come so that nothing ever blocks."""

    stream: IO[bytes]
    tail: bytes = b""
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._drain, daemon=True)
        self.thread.start()

    def _drain(self) -> None:
        with self.stream:
            while data := os.read(self.stream.fileno(), 1 << 16):
                self.tail = (self.tail + data)[-_LOG_BYTES:]

    @property
    def last_line(self) -> str:
        lines = self.tail.decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""


class WorkerProcess:
    """A running worker, and our end of its socket."""

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket, log: _Log) -> None:
        self._process = process
        self._sock = sock
        self._log = log

    @property
    def pid(self) -> int:
        """The process, which leads a group of its own."""
        return self._process.pid

    @classmethod
    def start(cls, hello: Message) -> WorkerProcess:
        """Start a process and send it `hello`; return when it is ready.

        Raises:
            WorkerError: it did not get ready.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            # In a session of its own, so that what it starts can be ended with it. Standard
            # input is a pipe that is never written: it breaks when this process ends.
            process = subprocess.Popen(
                [sys.executable, "-I", "-m", _MODULE, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                env=_environment(os.environ),
                start_new_session=True,
            )
        assert process.stdout is not None
        worker = cls(process, ours, _Log(process.stdout))
        try:
            worker.ask(hello, _START_TIMEOUT_S)
        except (Ended, TimeoutError) as error:
            worker.end()
            raise WorkerError(f"The reference's process did not start: {error}") from error
        return worker

    def ask(self, question: Message, timeout_s: float) -> tuple[Message, Shared | None]:
        """Send `question` and wait for the reply.

        Raises:
            Ended: the process ended before it replied.
            TimeoutError: it did not reply within `timeout_s`.
        """
        try:
            send(self._sock, question)
            reply, fd = receive(self._sock, timeout_s)
        except Closed as error:
            raise Ended(self._how_it_ended()) from error
        if fd is None:
            return reply, None
        try:
            return reply, Shared(fd)
        finally:
            os.close(fd)

    def end(self) -> None:
        """End the process and all that it started. Safe to call twice."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._log.thread.join(timeout=1.0)
        self._sock.close()

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        self._log.thread.join(timeout=1.0)
        how = f"exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                how = signal.Signals(-code).name
        return f"{how}; it last printed {self._log.last_line!r}" if self._log.last_line else how


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Large tensors on large pages, besides what is passed on: a fresh one then costs little."""
    passed = {name: ours[name] for name in _PASSED_ON if name in ours}
    return {"THP_MEM_ALLOC_ENABLE": "1", **passed}
