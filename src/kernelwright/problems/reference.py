"""The client of the reference's process: what the user's file computes, asked from outside.

The file is somebody's code, so it only ever runs in a process of its own
(`problems.reference_worker`). This side has no torch; it can be used from any thread, one call
at a time.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from kernelwright.core.cards import first_card
from kernelwright.core.compiled import Compiled
from kernelwright.core.cut import Outline
from kernelwright.core.device_lock import lock_of
from kernelwright.core.errors import ProblemError, WorkerError
from kernelwright.core.graph import Graph
from kernelwright.core.problem import Direction, Problem, Source, Workload
from kernelwright.problems.admission import Admission
from kernelwright.problems.case import Case, Demand
from kernelwright.problems.channel import Message, Shared
from kernelwright.problems.directions import direction_of
from kernelwright.problems.packing import unpack
from kernelwright.problems.suite import read_source
from kernelwright.problems.worker_process import Ended, WorkerProcess

Device = Literal["cpu", "cuda"]


class Reference:
    """A reference file, running in a trusted process of its own.

    A context manager; `close` ends the process. After an error that ended the process, the next
    call starts a new one. Every method raises:

        ProblemError: the file cannot be a problem, or running it took longer than `timeout_s`.
        WorkerError: our process broke for another reason.
    """

    def __init__(
        self,
        source: Source,
        origin: str,
        *,
        timeout_s: float,
        device: Device,
        direction: Direction | None = None,
    ) -> None:
        self._source = source
        self._direction = direction_of(source, direction)
        self._origin = origin
        self._timeout_s = timeout_s
        self._device = device
        self._problem: Problem | None = None
        self._process: WorkerProcess | None = None
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        origin: str | Path | Source,
        *,
        timeout_s: float = 120.0,
        device: Device = "cpu",
        direction: Direction | None = None,
        known: Problem | None = None,
    ) -> Reference:
        """Start the process for a path, ``builtin:<name>`` or a `Source`. Runs nothing yet.

        `timeout_s` bounds each call by itself. The source is read once, here. `direction` goes
        before what the file itself says. With `known` that is the problem, which the same file
        made, and need not be derived from it again.
        """
        source, name = read_source(origin, sizes="gpu" if device == "cuda" else "cpu")
        reference = cls(source, name, timeout_s=timeout_s, device=device, direction=direction)
        reference._problem = known
        with reference._lock:
            reference._running()
        return reference

    @property
    def pid(self) -> int:
        """The process that the file runs in; started if there is none."""
        with self._lock:
            return self._running().pid

    def load(self) -> Problem:
        """Run the file, check that it can be a problem, and derive its specs and workloads.

        The answer is kept, and the same for the same text on every machine with enough memory.
        """
        if self._problem is None:
            reply, _ = self._ask({"ask": "load"})
            self._problem = Problem.model_validate(reply["problem"])
        return self._problem

    def distributions(self) -> tuple[str, ...]:
        """The distributions under which the reference's own arithmetic is right, ``file`` first.

        Where no input may be drawn these are ``file`` alone, and ``structured`` if indices or masks
        can be rearranged.
        """
        self.load()
        reply, _ = self._ask({"ask": "distributions"})
        return tuple(reply["distributions"])

    def case(
        self, workload: Workload, distribution: str, seed: int, *, weights_seed: int | None = None
    ) -> Case:
        """Draw the inputs from `seed` (any int of up to 63 bits) and work out the outputs.

        With `weights_seed` the weights follow from it and not from `seed` or `distribution`, so
        that many cases have the same.
        """
        problem = self.load()
        question = {
            "ask": "case",
            "workload": workload.model_dump(mode="json"),
            "distribution": distribution,
            "seed": seed,
            "weights_seed": weights_seed,
        }
        reply, memory = self._ask(question)
        if memory is None:
            raise WorkerError("The reference's process sent a case without its arrays.")
        return unpack(problem, reply, memory)

    def demand(self) -> Demand:
        """What one call at the report size demands of any kernel."""
        self.load()
        reply, _ = self._ask({"ask": "demand"})
        return Demand(
            flops=reply["flops"], read=tuple(reply["read"]), drawn_bytes=reply["drawn_bytes"]
        )

    def trace(self, workload: Workload | None = None) -> Graph:
        """The graph of ATen operators, by default at a workload whose axes have distinct sizes."""
        self.load()
        given = None if workload is None else workload.model_dump(mode="json")
        reply, _ = self._ask({"ask": "trace", "workload": given})
        return Graph.model_validate(reply["graph"])

    def trace_of(self, other: Problem) -> Graph:
        """The graph of another problem, such as a part of this one; nothing of it is checked."""
        reply, _ = self._ask({"ask": "trace_problem", "problem": other.model_dump(mode="json")})
        return Graph.model_validate(reply["graph"])

    def outline(self) -> Outline:
        """The program as whole operators, with what each makes and takes at its own sizes."""
        self.load()
        reply, _ = self._ask({"ask": "outline"})
        return Outline.model_validate(reply["outline"])

    def compiled(self) -> tuple[Compiled, ...]:
        """The text that torch.compile's backend generates, at the report's sizes and at others.

        Takes about half a second for each, and 10 s for the first, more on a busy machine.
        """
        self.load()
        reply, _ = self._ask({"ask": "compile"})
        return tuple(Compiled.model_validate(each) for each in reply["compiled"])

    def admit(self, seed: int) -> Admission:
        """Task admission: which deliberately wrong programs the cases tell apart."""
        self.load()
        reply, _ = self._ask({"ask": "admit", "seed": seed})
        return Admission.model_validate(reply["admission"])

    def close(self) -> None:
        """End the process. Safe to call twice, and from another thread than a waiting call."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _running(self) -> WorkerProcess:
        if self._process is None:
            problem = None if self._problem is None else self._problem.model_dump(mode="json")
            self._process = WorkerProcess.start(
                {
                    "source": self._source.model_dump(mode="json"),
                    "origin": self._origin,
                    "device": self._device,
                    "direction": self._direction,
                    "problem": problem,
                }
            )
        return self._process

    def _card(self) -> AbstractContextManager[None]:
        """What is worked out on a GPU must not disturb who measures there."""
        return lock_of(first_card().key).shared() if self._device == "cuda" else nullcontext()

    def _ask(self, question: Message) -> tuple[Message, Shared | None]:
        with self._card(), self._lock:
            process = self._running()
            try:
                reply, memory = process.ask(question, self._timeout_s)
            except TimeoutError as error:
                self.close()
                raise ProblemError(
                    f"{self._source.main_file}: running it took longer than {self._timeout_s:g} s "
                    f"({question['ask']}). Make its sizes smaller, or allow more time."
                ) from error
            except Ended as error:
                self.close()
                raise _ended(self._source.main_file, question, error) from error
        return _unwrapped(reply), memory


def _ended(file: str, question: Message, error: Ended) -> ProblemError | WorkerError:
    """Whose fault it is: what runs first in the process when loading is the user's file."""
    if question["ask"] == "load":
        return ProblemError(
            f"{file}: running it ended the process ({error}). It must only compute."
        )
    return WorkerError(f"The reference's process for {file} ended ({error}). Try again.")


def _unwrapped(reply: Message) -> Message:
    match reply:
        case {"ok": dict() as answer}:
            return answer
        case {"problem_error": str() as sentence}:
            raise ProblemError(sentence)
        case {"fault": str() as sentence}:
            raise WorkerError(f"The reference's process could not answer: {sentence}")
    raise WorkerError("The reference's process sent a reply that is not one.")
