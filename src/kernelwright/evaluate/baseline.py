"""The baselines, seen from the broker: a trusted process beside the candidate's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from kernelwright.core.errors import WorkerError
from kernelwright.core.problem import Problem
from kernelwright.evaluate import sandbox
from kernelwright.evaluate.cases import CaseSet
from kernelwright.evaluate.native_runner import cache_folder
from kernelwright.evaluate.runner import Answer, Life, LifeEnded, Operation, threads
from kernelwright.problems.reference import Device

SUBJECTS = ("eager", "torch.compile")  # on the wire, a subject is its position here
_LOAD_LIMIT_S = 600.0
_CALL_LIMIT_S = 120.0


class Baseline:
    """A worker that runs the reference on the calls of one case set.

    Its start takes seconds (torch, and the compiler), so `start` returns at once and `wait` is
    called when its times are needed.
    """

    def __init__(self, running: Life):
        self._running = running
        self.subjects: tuple[str, ...] = ()

    @classmethod
    def start(cls, problem: Problem, cases: CaseSet, device: Device, log: Path) -> Baseline:
        """Start the process over the inputs of `cases`."""
        setup = {
            "problem": problem.model_dump(mode="json"),
            "threads": threads(),
            "device": device,
        }
        setup_fd = os.memfd_create("kernelwright-setup", os.MFD_CLOEXEC)
        os.write(setup_fd, json.dumps(setup).encode())
        os.lseek(setup_fd, 0, os.SEEK_SET)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptors = [setup_fd, theirs.fileno(), cases.table_fd, cases.inputs.fd]
        environment = os.environ | {
            "TORCHINDUCTOR_CACHE_DIR": str(cache_folder() / "inductor"),
            "OMP_NUM_THREADS": str(threads()),
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-m", "kernelwright.evaluate.baseline_worker",
                 *map(str, descriptors)],
                env=environment, pass_fds=descriptors, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        os.close(setup_fd)
        theirs.close()
        return cls(Life(sandbox.Child(process, log), ours))

    def wait(self) -> None:
        """Wait until the baselines are compiled and warm; `subjects` then names those that work.

        Raises:
            WorkerError: the process ended, or took too long.
        """
        if self.subjects:
            return
        works = self._ask("load", _LOAD_LIMIT_S).count
        self.subjects = tuple(name for bit, name in enumerate(SUBJECTS) if works >> bit & 1)

    def time(self, subject: str, operation: Operation, first: int, count: int) -> int:
        """Nanoseconds from asking for `count` calls until they are done."""
        number = SUBJECTS.index(subject)
        answer = self._ask(operation, _CALL_LIMIT_S * count, first, count, number)
        self._ask("collect", _CALL_LIMIT_S)
        return answer.elapsed_ns

    def ping(self) -> int:
        """Nanoseconds for a round trip with no work."""
        return self._ask("ping", _CALL_LIMIT_S).elapsed_ns

    def _ask(
        self, operation: Operation, limit_s: float, first: int = 0, count: int = 0, subject: int = 0
    ) -> Answer:
        try:
            return self._running.ask(
                operation, stage="timing", limit_s=limit_s, first=first, count=count,
                subject=subject,
            )  # fmt: skip
        except LifeEnded as ended:
            raise WorkerError(
                f"The baseline's process broke during {operation!r}: {ended.outcome}"
            ) from ended

    @property
    def log(self) -> str:
        """What the process printed: why a baseline is missing, if one is."""
        return self._running.log

    def close(self) -> None:
        """End the process."""
        self._running.end()
