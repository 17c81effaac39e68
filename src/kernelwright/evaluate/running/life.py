"""What is said with a runner while it lives, seen from the broker: ask for calls, read claims.

The frames have one size. Whatever else arrives, or nothing in time, ends the life with what can
be said about it from outside. The runner's own words (its log) are shown to the author of the
candidate and decide nothing.
"""

from __future__ import annotations

import re
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kernelwright.core.evaluation import (
    Crashed,
    Rejected,
    Stage,
    TimedOut,
    WrongResult,
)
from kernelwright.evaluate.isolation import sandbox
from kernelwright.evaluate.isolation.processes import Unstoppable
from kernelwright.evaluate.running.frames import COMMAND, MAGIC, REPLY
from kernelwright.evaluate.running.pressure import patiently

Operation = Literal[
    "load",
    "buffer",
    "returned",
    "heap",
    "collect",
    "ping",
    "stage",
    "state",
    "sample",
    "queue",
    "open",
    "profile",
]

_CODES: dict[Operation, int] = {
    "load": 1, "buffer": 2, "returned": 3, "heap": 4, "collect": 5, "ping": 6, "stage": 7,
    "state": 8, "sample": 9, "queue": 10, "open": 11,
    "profile": 12,
}  # fmt: skip
_CALLS = ("buffer", "returned", "heap", "queue", "profile")
_FAILING = (*_CALLS, "collect")  # in reply to which a device may report an error
_OK, _FAILED, _SIGNAL, _DEVICE = 0, 1, 2, 5
MISSHAPEN = {3: "wrong_shape", 4: "wrong_dtype"}  # a module's own reply, by status
# Of the errors that NVIDIA's driver has, by their numbers in its API reference, those that a kernel
# brings about.
_DEVICE_ERRORS = {
    1: "CUDA_ERROR_INVALID_VALUE", 2: "CUDA_ERROR_OUT_OF_MEMORY",
    9: "cudaErrorInvalidConfiguration", 98: "cudaErrorInvalidDeviceFunction",
    209: "CUDA_ERROR_NO_BINARY_FOR_GPU", 700: "CUDA_ERROR_ILLEGAL_ADDRESS",
    701: "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", 702: "CUDA_ERROR_LAUNCH_TIMEOUT",
    710: "CUDA_ERROR_ASSERT", 715: "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    716: "CUDA_ERROR_MISALIGNED_ADDRESS", 717: "CUDA_ERROR_INVALID_ADDRESS_SPACE",
    718: "CUDA_ERROR_INVALID_PC", 719: "CUDA_ERROR_LAUNCH_FAILED",
}  # fmt: skip
_REGIONS = {
    0: "",
    1: "It wrote to an input, which is read-only, or read past an input's end.",
    2: "It read or wrote past an output's end.",
}
# What torch, Triton and the driver print where there is no memory left.
OUT_OF_MEMORY = re.compile(r"out[ _]of[ _]memory", re.IGNORECASE)
_ENDING_S = 2.0
_LOOK_EVERY_S = 0.1
_RACE = 66  # how the thread sanitizer ends a process; see core.protocols.FindsRaces
_MOVED_NS = 100_000  # a thread that is about to stop may be interrupted once more
# How often in a life more than that is let pass. A virtual processor may be taken away in between,
# and its time is then the thread's; who gains from moving has to do it for most of the blocks.
_STRAYS = 2


class LifeEnded(Exception):
    """The runner did not answer as it should; `outcome` says what is known. Stays inside.

    `region` is 1 when a signal came from next to an input, 2 from next to an output, else 0.
    """

    def __init__(self, outcome: Crashed | TimedOut | Rejected | WrongResult, region: int = 0):
        super().__init__(outcome)
        self.outcome = outcome
        self.region = region


@dataclass(frozen=True)
class Answer:
    """A good reply: the broker's own clock around it, and what the runner claims.

    `count` is the number of calls made; in reply to "load" a baseline says which it has.
    """

    elapsed_ns: int
    claimed_ns: int
    count: int


class Life:
    """One runner process and its control socket."""

    def __init__(self, child: sandbox.Child, control: socket.socket):
        self._child = child
        self._control = control
        self._muted = False
        self._strays = 0

    def mute(self) -> None:
        """From now on leave out what the process prints: it has been shown what is hidden."""
        self._muted = True

    def ask(
        self,
        operation: Operation,
        *,
        stage: Stage,
        limit_s: float,
        first: int = 0,
        count: int = 0,
        subject: int = 0,
        token: int = 0,
        wake: bool = False,
        enough: Callable[[], bool] | None = None,
        then: Callable[[], None] | None = None,
    ) -> Answer:
        """Send one command and wait for its reply. `wake` lets a paused process go on, after the
        clock was started, and tells it to stop before the clock is read. `token` is what opens the
        gate of a queue. On a busy machine a limit is given again; not so when something else says
        that it was waited for long `enough`. What is to be done at once behind the reply, `then`,
        is done before the clock is read.

        Raises:
            LifeEnded: it crashed, hung, or answered something else.
        """
        self._refuse_unasked(stage)
        frame = COMMAND.pack(MAGIC, _CODES[operation], first, count, subject, token)
        if wake:
            self._child.ready()
        start = time.perf_counter_ns()
        try:
            self._control.send(frame)
            if wake:
                self._child.resume()
            if enough is None:
                reply = patiently(self._receive, limit_s)
            else:
                reply = self._receive_until(enough, limit_s)
        except (BrokenPipeError, ConnectionResetError):
            reply = b""
        if wake:
            self._child.halt()
        if then is not None:
            then()
        elapsed = time.perf_counter_ns() - start
        if wake:
            self._child.note_halt()
        if reply is None:
            raise LifeEnded(TimedOut(stage=stage, limit_s=limit_s))
        return self._answer(reply, operation, stage, count, elapsed)

    def _answer(
        self, reply: bytes, operation: Operation, stage: Stage, count: int, elapsed: int
    ) -> Answer:
        """What a reply says, which took `elapsed` nanoseconds.

        Raises:
            LifeEnded: it is not a good one.
        """
        code = _CODES[operation]
        if len(reply) != REPLY.size:
            raise LifeEnded(self._post_mortem(stage, reply))
        magic, said, status, number, claimed = REPLY.unpack(reply)
        if magic == MAGIC and status == _SIGNAL:
            raise LifeEnded(self._signalled(stage, number, claimed), region=claimed)
        if (magic, said, status) == (MAGIC, code, _DEVICE) and operation in _FAILING:
            raise LifeEnded(self._device_failed(stage, number))
        if (magic, said, status) != (MAGIC, code, _OK):
            raise LifeEnded(self._refused(operation, status))
        if operation in _CALLS and (number != count or not 0 <= claimed <= elapsed):
            raise LifeEnded(self._refused(operation, _OK))
        return Answer(elapsed, claimed, number)

    def _receive(self, limit_s: float) -> bytes | None:
        ready, _, _ = select.select([self._control], [], [], limit_s)
        return self._control.recv(REPLY.size + 1) if ready else None

    def _receive_until(self, enough: Callable[[], bool], limit_s: float) -> bytes | None:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            reply = self._receive(_LOOK_EVERY_S)
            if reply is not None or enough():
                return reply
        return None

    def _refuse_unasked(self, stage: Stage) -> None:
        """A frame before it is asked for is the last word of a process that crashed, or forged."""
        try:
            early = self._receive(0)
        except ConnectionResetError:
            early = b""
        if early is None:
            return
        if not early:
            raise LifeEnded(self._post_mortem(stage, early))
        if len(early) == REPLY.size:
            magic, _, status, number, claimed = REPLY.unpack(early)
            if magic == MAGIC and status == _SIGNAL:
                raise LifeEnded(self._signalled(stage, number, claimed))
        evidence = self._detail("The runner sent a frame that nobody had asked for.")
        raise LifeEnded(Rejected(rule="forged_reply", evidence=evidence))

    def _signalled(self, stage: Stage, number: int, region: int) -> Crashed:
        known = {s.value: s.name for s in signal.Signals}
        where = _REGIONS.get(region, "")
        return Crashed(stage=stage, signal=known.get(number), detail=self._detail(where))

    def _device_failed(self, stage: Stage, number: int) -> Crashed:
        name = _DEVICE_ERRORS.get(number, f"CUDA error {number}")
        said = self._detail(f"The device reports {name}.")
        return Crashed(stage=stage, signal=name, detail=said)

    def _refused(self, operation: Operation, status: int) -> Crashed | Rejected:
        if status in MISSHAPEN:
            return Rejected(rule=MISSHAPEN[status], evidence=self._detail(""))
        if status == _FAILED and operation in _FAILING:
            return Crashed(stage="core", signal=None, detail=self._detail("It raised."))
        if operation == "load":
            return Crashed(
                stage="load", signal=None, detail=self._detail("It could not be loaded.")
            )
        evidence = f"The runner's reply to {operation!r} is not one that it can give."
        return Rejected(rule="forged_reply", evidence=self._detail(evidence))

    def _post_mortem(self, stage: Stage, reply: bytes) -> Crashed | Rejected:
        if reply:
            evidence = f"The runner sent {len(reply)} bytes where a reply has {REPLY.size}."
            return Rejected(rule="forged_reply", evidence=evidence)
        code, name = self._child.ending(_ENDING_S)
        if code == _RACE and stage == "sanitize":
            said = "Two threads use the same memory at once, and at least one writes to it."
            return Rejected(rule="data_race", evidence=self._detail(said))
        said = f"The process ended with {name or f'status {code}'} before it answered."
        return Crashed(stage=stage, signal=name, detail=self._detail(said))

    def _detail(self, text: str) -> str:
        log = self._child.log_text(2000).strip()
        if self._muted:
            # That it found no memory tells of no input, and may be the doing of others.
            log = "It ran out of memory." if OUT_OF_MEMORY.search(log) else ""
        return f"{text}\n{log}".strip()

    @property
    def pid(self) -> int:
        """The runner's own process, by its number on this side.

        First asked for before the candidate is loaded, so that it is not a process of its.
        """
        return self._child.main

    @property
    def log(self) -> str:
        """What the process printed so far."""
        return self._child.log_text()

    def pause(self) -> None:
        """Stop the process and everything it started, until it is woken.

        Raises:
            Unstoppable: it does not stop.
        """
        self._child.pause()

    def stand_still(self) -> None:
        """As `pause`, for a process whose doing it is when it does not stop.

        Raises:
            LifeEnded: it ran on instead of stopping.
            Unstoppable: it does not stop, and the machine may be to blame.
        """
        try:
            self.pause()
        except Unstoppable as error:
            if not error.own_doing:
                raise
            raise LifeEnded(Rejected(rule="does_not_stop", evidence=str(error))) from error

    @property
    def late_ns(self) -> int:
        """The processor time that it used between its last reply and its standstill, beyond what
        stopping takes. The kernel finishes a call, a copy for instance, before it stops who made
        it."""
        late_ns = self._child.late_ns()
        return late_ns if late_ns > _MOVED_NS else 0

    def refuse_moved(self) -> None:
        """Make sure that a paused process stood still since, to which nothing else holds it: a
        timer of its own could have sent it SIGCONT.

        Raises:
            LifeEnded: it ran, for the third time in this life.
        """
        moved_ns = self._child.moved_ns()
        self._strays += moved_ns > _MOVED_NS
        if self._strays > _STRAYS:
            evidence = f"It ran for {moved_ns / 1000:.0f} µs while it was told to stand still."
            raise LifeEnded(Rejected(rule="not_standing_still", evidence=evidence))

    def resume(self) -> None:
        """Let it go on."""
        self._child.resume()

    def leave(self, limit_s: float) -> bool:
        """Say no more, and wait until all of it has ended by itself; whether it has."""
        self._control.close()
        return self._child.ending(limit_s)[0] is not None

    @property
    def status(self) -> int | None:
        """The exit status of what was started, once all of it has ended; None while it runs."""
        return self._child.ending(0)[0]

    def end(self) -> None:
        """End the process and everything it started."""
        self._control.close()
        self._child.kill()
