"""A judge in a process of its own that may use one GPU, seen from the queue that feeds it.

The clock of a judge is a Python program: two of them in one process would wait for each other's
interpreter lock. So each card's judge has a process, with a share of the processors, and a driver
that hangs takes no more than that one with it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Literal

from kernelwright.core import errors
from kernelwright.core.candidate import Candidate
from kernelwright.core.cards import VARIABLE, Card
from kernelwright.core.errors import DeviceLost, JudgeBroken, KernelwrightError, WorkerError
from kernelwright.core.evaluation import Effort, Evaluation, Isolation
from kernelwright.core.problem import Direction, Problem, Source
from kernelwright.core.record import Record
from kernelwright.problems.channel import Closed, Message, receive, send

_MODULE = "kernelwright.evaluate.card_process"
_ENDING_S = 30.0
_LOG_BYTES = 500


class Order(Record):
    """What a process is to judge; as `evaluate.opening.open_judge` takes it. `known` is the problem
    where it is known already."""

    origin: str | Source
    direction: Direction | None
    device: Literal["cpu", "cuda"] = "cuda"
    require_isolation: Isolation
    known: Problem | None = None


class CardJudge:
    """The judge of one card. Its process is started when first needed, and again when it ended.
    Safe to use from any thread."""

    def __init__(self, card: Card, order: Order, processors: Sequence[int] = ()):
        """It gets `processors` and no others; all of ours where there are none."""
        self.card = card
        self._order = order
        self._processors = processors
        self._starting = threading.Lock()
        self._running: _Running | None = None
        self._was_ready = False

    @property
    def name(self) -> str:
        """What the card is called."""
        return self.card.key

    def open(self) -> tuple[Problem, int]:
        """Have the process ready; the problem, and how many candidates it can be asked about at
        once.

        Raises:
            KernelwrightError: as `evaluate.opening.open_judge`.
        """
        opened = self._started().opened
        return Problem.model_validate(opened["problem"]), int(opened["places"])

    def judge(self, candidate: Candidate, effort: Effort) -> Evaluation:
        """The verdict on `candidate`; see `Judge.judge`.

        Raises:
            KernelwrightError: as there; and when the process ended.
        """
        asked = {"ask": "judge", "candidate": candidate.model_dump(mode="json"), "effort": effort}
        return Evaluation.model_validate(self._started().ask(asked)["evaluation"])

    def refuse(self, candidate: Candidate, effort: Effort, evidence: str) -> Evaluation:
        """The verdict on a text that is no candidate.

        Raises:
            KernelwrightError: the process ended.
        """
        asked = {
            "ask": "refuse", "candidate": candidate.model_dump(mode="json"), "effort": effort,
            "evidence": evidence,
        }  # fmt: skip
        return Evaluation.model_validate(self._started().ask(asked)["evaluation"])

    def require(self) -> None:
        """Make sure that the card works.

        Raises:
            DeviceLost: it does not.
            KernelwrightError: the process does not come up.
        """
        self._started().ask({"ask": "require"})

    def _started(self) -> _Running:
        with self._starting:
            if self._running is None or self._running.over:
                self.close()
                self._running = self._start()
            return self._running

    def _start(self) -> _Running:
        try:
            running = _Running(self.card, self._order, self._processors)
        except KernelwrightError as error:
            if not self._was_ready:
                raise
            # The same problem could be judged here before.
            raise DeviceLost(
                f"The judge on GPU {self.card.key} cannot be started again: {error}"
            ) from error
        self._was_ready = True
        return running

    def close(self) -> None:
        """End the process, and with it what it is judging."""
        running, self._running = self._running, None
        if running is not None:
            running.close()


def shares(cards: Sequence[Card]) -> list[tuple[Card, tuple[int, ...]]]:
    """Each of `cards` with its share of the processors that this process may use; where there are
    fewer of those than cards, nobody gets any of their own."""
    processors = sorted(os.sched_getaffinity(0))
    each = len(processors) // len(cards)
    return [(card, tuple(processors[at * each : (at + 1) * each])) for at, card in enumerate(cards)]


class _Running:
    """One process, and the questions that it has not answered yet."""

    def __init__(self, card: Card, order: Order, processors: Sequence[int]):
        """Start it, and wait until it is ready.

        Raises:
            KernelwrightError: why it is not.
        """
        self._card = card
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Message]] = {}
        self._changed = threading.Lock()
        self.over = False
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = _started_within(
                processors,
                [sys.executable, "-I", "-m", _MODULE, str(theirs.fileno())],
                descriptor=theirs.fileno(), log=self._log, card=card,
            )  # fmt: skip
        self._listener = threading.Thread(
            target=self._listen, name="kernelwright-card", daemon=True
        )
        self._listener.start()
        try:
            self.opened = self.ask({"ask": "open", "order": order.model_dump(mode="json")})
        except BaseException:
            self.close()
            raise

    def ask(self, question: Message) -> Message:
        """The answer to `question`.

        Raises:
            KernelwrightError: the answer is one; or the process ended.
        """
        answer: Future[Message] = Future()
        with self._changed:
            number = next(self._numbers)
            self._waiting[number] = answer
            try:
                send(self._socket, question | {"number": number})
            except Closed as error:
                self._waiting.pop(number)
                self.over = True
                raise self._ended() from error
        found = answer.result()
        if "error" in found:
            raise raised(found["error"])
        return found

    def _listen(self) -> None:
        with contextlib.suppress(Closed, TimeoutError):
            while True:
                message, _ = receive(self._socket)
                with self._changed:
                    waiting = self._waiting.pop(message["number"], None)
                if waiting is not None:
                    waiting.set_result(message)
        with self._changed:
            self.over = True
            left, self._waiting = list(self._waiting.values()), {}
        for one in left:
            one.set_exception(self._ended())

    def _ended(self) -> WorkerError:
        return WorkerError(
            f"The judge's process on GPU {self._card.key} ended. It is started again when it is "
            f"next needed. It last printed: {self._printed()!r}"
        )

    def _printed(self) -> str:
        if self._log.closed:
            return ""
        size = os.fstat(self._log.fileno()).st_size
        # The place in the file is the other process's.
        said = os.pread(self._log.fileno(), _LOG_BYTES, max(0, size - _LOG_BYTES))
        return said.decode(errors="replace").strip()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_ENDING_S)
        self._listener.join()
        self._socket.close()
        self._log.close()


def _started_within(
    processors: Sequence[int], argv: Sequence[str], *, descriptor: int, log: IO[bytes], card: Card
) -> subprocess.Popen[bytes]:
    """A process that has `processors` from its first instruction on: they are inherited from the
    thread that starts it."""

    def start() -> subprocess.Popen[bytes]:
        if processors:
            os.sched_setaffinity(0, processors)
        return subprocess.Popen(
            argv, env=os.environ | {VARIABLE: card.name}, pass_fds=[descriptor],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(start).result()


def told(error: BaseException) -> Message:
    """`error` as a message; what is none of ours becomes a `WorkerError`."""
    if not isinstance(error, KernelwrightError):
        said = f"Something in Kernelwright broke ({type(error).__name__}: {error})."
        return {"kind": "WorkerError", "message": said}
    suspects = list(error.candidate_ids) if isinstance(error, JudgeBroken) else []
    return {"kind": type(error).__name__, "message": str(error), "candidate_ids": suspects}


def raised(message: Message) -> KernelwrightError:
    """The error that `told` made a message of; a subclass that is not public is what it is most
    like, a failure of ours."""
    kind = getattr(errors, str(message["kind"]), None)
    if kind is JudgeBroken:
        return JudgeBroken(message["message"], tuple(message["candidate_ids"]))
    if not (isinstance(kind, type) and issubclass(kind, KernelwrightError)):
        kind = WorkerError
    return kind(message["message"])
