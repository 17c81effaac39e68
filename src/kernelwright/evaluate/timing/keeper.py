"""The keeper, seen from the broker: who brings tensors to a GPU, and takes them away.

A candidate's outputs lie in device memory, which no other process can read at the moment that
the clock stops, but one that owns it. So they lie in the keeper's memory (`native/keeper.c`). It
notes a few secret words of every output before the clock is read, and takes all of them away
later: what was finished behind the clock differs in a word that was noted before.
"""

from __future__ import annotations

import mmap
import os
import random
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kernelwright.core.errors import SandboxError
from kernelwright.evaluate.isolation import sandbox
from kernelwright.evaluate.native.programs import keeper
from kernelwright.evaluate.running.arena import Arena
from kernelwright.evaluate.running.life import Life, LifeEnded, Operation
from kernelwright.evaluate.timing.staging import Staging

_WORD = 4
_SAMPLES = 4096
_START_S = 60.0
_LIMIT_S = 30.0
_HANDLES = 2 * 2 * 64  # two IPC handles of 64 bytes, in hexadecimal


class Keeper:
    """A process with device memory that mirrors a staging. `handles` lend it to a runner."""

    def __init__(self, staging: Staging, folder: Path):
        """Start the process; it writes what goes wrong to a log in `folder`.

        Raises:
            SandboxError: there is no driver, or not as much memory as the staging has.
        """
        self._staging = staging
        self.nothing = Arena()  # what a runner in lent memory gets for outputs on the host
        self.nothing.allocate()
        self._fd = os.memfd_create("kernelwright-samples", os.MFD_CLOEXEC)
        os.ftruncate(self._fd, _SAMPLES * (8 + _WORD))
        memory = mmap.mmap(self._fd, 0)
        self._offsets = np.frombuffer(memory, np.int64, _SAMPLES)
        self._words = np.frombuffer(memory, np.uint32, _SAMPLES, offset=_SAMPLES * 8)
        self._log = folder / "keeper.log"
        self._running = self._start()
        try:
            self.handles = self._read_handles()
        except SandboxError:
            self.close()
            raise

    def _start(self) -> Life:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        staging = self._staging
        descriptors = [
            theirs.fileno(), staging.table_fd, staging.inputs.fd, staging.outputs.fd, self._fd,
        ]  # fmt: skip
        with theirs, self._log.open("wb") as log:
            process = subprocess.Popen(
                [str(keeper()), *map(str, descriptors)], pass_fds=descriptors, stdout=log,
                stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        child = sandbox.Child(process, self._log, alone=True, program=process.pid)
        return Life(child, ours)

    def _read_handles(self) -> str:
        self._ask("ping", limit_s=_START_S)
        handles = self._log.read_text().split("\n", 1)[0]
        if len(handles) != _HANDLES:
            raise SandboxError(
                f"The keeper of device memory did not come up: {handles!r}\n"
                "Run `kernelwright doctor` to see what works here."
            )
        return handles

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._running.pid

    def wipe(self) -> None:
        """Leave nothing in device memory, but the weights that are staged."""
        self._ask("load")

    def stage(self, first: int, count: int, source: random.Random) -> None:
        """Bring what is staged for `count` calls to the device, choose the words that will be noted
        of their outputs, and leave nothing of it in the device's cache."""
        spans = [span for slot in range(first, first + count) for span in self._spans(slot)]
        words = [self._word(source, spans[number % len(spans)]) for number in range(_SAMPLES)]
        self._offsets[:] = words
        self._ask("stage", first=first, count=count)

    def sample(self) -> None:
        """Note the chosen words of the outputs as they are now."""
        self._ask("sample")

    def take_device(self) -> None:
        """Have the device work for this process, so that whoever comes next pays for the change."""
        self._ask("sample")

    def collect(self, first: int, count: int) -> bool:
        """Take the outputs of `count` calls away; whether what was noted is still there."""
        self._ask("collect", first=first, count=count)
        now = self._staging.outputs.memory.view(np.uint32)[self._offsets // _WORD]
        return bool((now == self._words).all())

    def _spans(self, slot: int) -> Sequence[tuple[int, int]]:
        """Where the outputs of a call begin, and how many whole words each has."""
        places = self._staging.outputs_of(slot)
        return [(p.offset, p.nbytes // _WORD) for p in places if p.nbytes >= _WORD] or [(0, 1)]

    @staticmethod
    def _word(source: random.Random, span: tuple[int, int]) -> int:
        begin, words = span
        return begin + _WORD * source.randrange(words)

    def _ask(
        self, operation: Operation, *, first: int = 0, count: int = 0, limit_s: float = _LIMIT_S
    ) -> None:
        try:
            self._running.ask(operation, stage="timing", limit_s=limit_s, first=first, count=count)
        except LifeEnded as ended:
            raise SandboxError(
                f"The keeper of device memory broke during {operation!r}: {ended.outcome}\n"
                f"{self._running.log}"
            ) from ended

    def close(self) -> None:
        """End the process."""
        self._running.end()
        self.nothing.close()
        os.close(self._fd)
