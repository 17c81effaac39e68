"""The baselines, seen from the broker: a trusted process beside the candidate's."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kernelwright.core.device_lock import Meanwhile
from kernelwright.core.errors import WorkerError
from kernelwright.core.evaluation import Regime
from kernelwright.core.problem import Problem
from kernelwright.evaluate.isolation import sandbox
from kernelwright.evaluate.native.programs import cache_folder, gate
from kernelwright.evaluate.running.arena import NAME_BYTES, Arena, Slot
from kernelwright.evaluate.running.life import Answer, Life, LifeEnded, Operation
from kernelwright.evaluate.running.runner import threads
from kernelwright.evaluate.timing.gate import Gate
from kernelwright.problems.reference import Device

# On the wire, a subject is its position here.
SUBJECTS = ("eager", "torch.compile", "torch.compile max-autotune")
_EXPECTED: dict[Device, tuple[str, ...]] = {"cpu": SUBJECTS[:2], "cuda": SUBJECTS}
_LOAD_LIMIT_S = 600.0
# What a process has queued when it is stopped, the device still does: Inductor measures what it
# generated in rounds of a tenth of a second.
_QUEUED_S = 0.3
_CALL_LIMIT_S = 120.0


GiveWay = Callable[[Meanwhile], None]


@dataclass(frozen=True)
class Lent:
    """The memory that the worker finds its calls in: the table, and the memory of the inputs. With
    `handles` tensors lie on the device, and the memory of the inputs holds numbers alone."""

    table_fd: int
    inputs_fd: int
    handles: str = ""


class Baseline:
    """A worker that runs the reference on what is staged for it.

    Its start takes seconds, in which it imports torch, so `start` returns at once. `wait` has it
    compile.
    """

    def __init__(self, running: Life, mourner: subprocess.Popen[bytes], page: Arena, names: Slot):
        self._running = running
        self._mourner = mourner
        self._page, self._names = page, names
        self.gate = Gate(page)
        self.subjects: tuple[str, ...] = ()

    @staticmethod
    def expected(device: Device) -> tuple[str, ...]:
        """The baselines that there are on `device`."""
        return _EXPECTED[device]

    @classmethod
    def start(cls, problem: Problem, memory: Lent, device: Device, log: Path) -> Baseline:
        """Start the process over `memory`, every slot of which holds inputs that it may run by the
        time that it is waited for."""
        page = Arena()
        names = page.place(len(problem.outputs) * NAME_BYTES, "start")
        page.allocate()
        setup = {
            "problem": problem.model_dump(mode="json"),
            "threads": threads(),
            "device": device,
            "handles": memory.handles,
            "gate": str(gate()) if memory.handles else "",
            "names_at": names.offset,
        }
        setup_fd = os.memfd_create("kernelwright-setup", os.MFD_CLOEXEC)
        os.write(setup_fd, json.dumps(setup).encode())
        os.lseek(setup_fd, 0, os.SEEK_SET)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptors = [
            setup_fd, theirs.fileno(), memory.table_fd, memory.inputs_fd, page.fd,
        ]  # fmt: skip
        environment = os.environ | {
            "TORCHINDUCTOR_CACHE_DIR": str(cache_folder() / "inductor"),
            "OMP_NUM_THREADS": str(threads()),
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-m", "kernelwright.evaluate.timing.baseline_worker",
                 *map(str, descriptors)],
                env=environment, pass_fds=descriptors, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        os.close(setup_fd)
        theirs.close()
        # What it started to compile with has nothing to do once it is being timed.
        child = sandbox.Child(process, log, alone=True, program=process.pid)
        return cls(Life(child, ours), _mourner(process.pid), page, names)

    def wait(self, give_way: GiveWay | None = None) -> None:
        """Have it compile the baselines and warm them; `subjects` then names those that work. It
        stands still while `give_way`, which is asked every now and then, lets others measure.

        Raises:
            WorkerError: the process ended, or took too long.
        """
        if self.subjects:
            return

        def enough() -> bool:
            if give_way is not None:
                give_way(self._still)
            return False

        works = self._ask("load", _LOAD_LIMIT_S, enough=None if give_way is None else enough).count
        self.subjects = tuple(name for bit, name in enumerate(SUBJECTS) if works >> bit & 1)

    @contextlib.contextmanager
    def _still(self) -> Iterator[None]:
        """Stand still, with nothing of it left on the device."""
        self._running.pause()
        try:
            time.sleep(_QUEUED_S)
            yield
        finally:
            self._running.resume()

    def stage(self, subject: str, first: int, count: int) -> None:
        """Make ready `count` calls of `subject` on the slots from `first` on, and stand still."""
        self._running.resume()
        self._ask("stage", _CALL_LIMIT_S * count, first, count, SUBJECTS.index(subject))
        self._running.pause()

    def reload_weights(self) -> None:
        """Take over the weights that are staged now."""
        self._running.resume()
        self._ask("load", _LOAD_LIMIT_S)
        self._running.pause()

    def time(self, regime: Regime, count: int, then: Callable[[], None] | None = None) -> int:
        """Nanoseconds from asking for the `count` calls that were staged until they, and `then`,
        are done."""
        answer = self._ask(regime, _CALL_LIMIT_S * count, 0, count, wake=True, then=then)
        self._running.pause()
        self.collect()
        return answer.elapsed_ns

    def queue(self, count: int, enough: Callable[[], bool]) -> None:
        """Queue the `count` calls that were staged behind the gate, and stand still. `enough` is
        asked every now and then until they are."""
        self._running.resume()
        self._ask("queue", _CALL_LIMIT_S, 0, count, token=self.gate.renew(), enough=enough)
        self._running.pause()

    def called(self, subject: str, slot: int) -> bytes:
        """Have `subject` make the call in `slot`, on a GPU, and stand still; the names of its
        outputs, which are there until they are let go (`collect`)."""
        self.stage(subject, slot, 1)
        self._running.resume()
        self._ask("open", _CALL_LIMIT_S, 0, 1)
        self._running.pause()
        return bytes(self._page.data(self._names))

    def collect(self) -> None:
        """Wait for what was asked for, let its outputs go, and stand still."""
        self._running.resume()
        self._ask("collect", _CALL_LIMIT_S)
        self._running.pause()

    def ping(self) -> int:
        """Nanoseconds for a round trip with no work, from standstill to standstill."""
        self._running.pause()
        return self._ask("ping", _CALL_LIMIT_S, wake=True).elapsed_ns

    def _ask(
        self,
        operation: Operation,
        limit_s: float,
        first: int = 0,
        count: int = 0,
        subject: int = 0,
        *,
        token: int = 0,
        wake: bool = False,
        enough: Callable[[], bool] | None = None,
        then: Callable[[], None] | None = None,
    ) -> Answer:
        try:
            return self._running.ask(
                operation, stage="timing", limit_s=limit_s, first=first, count=count,
                subject=subject, token=token, wake=wake, enough=enough, then=then,
            )  # fmt: skip
        except LifeEnded as ended:
            raise WorkerError(
                f"The baseline's process broke during {operation!r}: {ended.outcome}"
            ) from ended

    def pause(self) -> None:
        """Stand still until the next block."""
        self._running.pause()

    @property
    def log(self) -> str:
        """What the process printed: why a baseline is missing, if one is."""
        return self._running.log

    def close(self) -> None:
        """End the process."""
        self._mourner.kill()
        self._mourner.communicate()
        self._running.end()
        self._page.close()


def _mourner(group: int) -> subprocess.Popen[bytes]:
    """A process that ends the group when this one is gone: one that stands still, as a baseline
    mostly does, would not notice and stay for ever."""
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read _; kill -s KILL -- "-$0"', str(group)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
