"""The reference's process: answers its client's questions about one file until it is closed.

Started by `problems.reference`, with a socket and nothing else. The file that runs here may print,
exit, hang or crash; it never sees the messages unless it looks for them, and what it prints goes
to the log that the client keeps the end of.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import threading

import torch

from kernelwright.core.compiled import Compiled
from kernelwright.core.cut import Outline
from kernelwright.core.errors import KernelwrightError, ProblemError, WorkerError
from kernelwright.core.graph import Graph
from kernelwright.core.problem import Problem, Source, Workload
from kernelwright.problems.case import Case
from kernelwright.problems.channel import Closed, Message, receive, send
from kernelwright.problems.compiling import compiled
from kernelwright.problems.derive import derive
from kernelwright.problems.dtypes import raw
from kernelwright.problems.loading import load_program
from kernelwright.problems.mutants import admit
from kernelwright.problems.oracle import Oracle
from kernelwright.problems.outlining import outline
from kernelwright.problems.packing import pack
from kernelwright.problems.sizes import pick_trace_workloads
from kernelwright.problems.soundness import sound_distributions
from kernelwright.problems.tracing import trace

# Of the machine's memory: what a problem's sizes may come to, and where allocations fail.
_SHARE_FOR_SIZES, _SHARE_FOR_ALL = 0.7, 0.9
_KEPT_BYTES = 1 << 30  # of a GPU's memory, what may be kept for the next question


class Worker:
    """One file and what is known of it."""

    def __init__(self, hello: Message) -> None:
        self.source = Source.model_validate(hello["source"])
        self.origin: str = hello["origin"]
        self.oracle = Oracle(self.source, hello["device"], hello["direction"])
        self._problem: Problem | None = None
        self._sound: tuple[str, ...] | None = None
        if hello["problem"] is not None:
            self._problem = Problem.model_validate(hello["problem"])

    def answer(self, question: Message) -> tuple[Message, int | None]:
        """The reply to one question, and the memory that goes with it."""
        match question["ask"]:
            case "case":
                return self._case(question)
            case "load":
                reply: Message = {"problem": self.problem.model_dump(mode="json")}
            case "distributions":
                reply = {"distributions": list(self.sound)}
            case "demand":
                reply = self._demand()
            case "trace":
                reply = {"graph": self._trace(question["workload"]).model_dump(mode="json")}
            case "trace_problem":
                reply = {"graph": _trace_other(question["problem"]).model_dump(mode="json")}
            case "outline":
                reply = {"outline": self._outline().model_dump(mode="json")}
            case "compile":
                reply = {"compiled": [each.model_dump(mode="json") for each in self._compiled()]}
            case "admit":
                admission = admit(self.oracle, self.problem, self.sound, question["seed"])
                reply = {"admission": admission.model_dump(mode="json")}
            case asked:
                raise WorkerError(f"No question is called {asked!r}.")
        return reply, None

    @property
    def problem(self) -> Problem:
        """The problem that the file is; worked out when first asked for."""
        if self._problem is None:
            limit = int(_physical_bytes() * _SHARE_FOR_SIZES)
            self._problem = derive(self.source, self.origin, self.oracle, memory_bytes=limit)
        return self._problem

    @property
    def sound(self) -> tuple[str, ...]:
        """The distributions under which the reference's own arithmetic is right."""
        if self._sound is None:
            self._sound = sound_distributions(self.oracle, self.problem)
        return self._sound

    def _case(self, question: Message) -> tuple[Message, int]:
        workload = Workload.model_validate(question["workload"])
        answer = self.oracle.sound_answer(
            self.problem,
            workload,
            question["distribution"],
            question["seed"],
            question["weights_seed"],
        )
        case = Case(
            workload_id=answer.workload_id,
            distribution=answer.distribution,
            inputs={spec.name: raw(answer.values[spec.name]) for spec in self.problem.inputs},
            expected=answer.expected,
            eager_s=answer.eager_s,
        )
        return pack(case)

    def _demand(self) -> Message:
        """What a call at the report size demands, seen in one run on a draw of the file."""
        demand = self.oracle.demand(self.problem)
        return {
            "flops": demand.flops,
            "read": list(demand.read),
            "drawn_bytes": demand.drawn_bytes,
        }

    def _trace(self, asked: Message | None) -> Graph:
        """The graph at the workload that was `asked` for, or at one that suits."""
        if asked is None:
            workload = pick_trace_workloads(self.problem)[0]
        else:
            workload = Workload.model_validate(asked)
        return trace(self.oracle.twins(workload.constants).eager, workload, self.problem)

    def _outline(self) -> Outline:
        """What the program is made of, seen at its own sizes too."""
        workload = pick_trace_workloads(self.problem)[0]
        at_first, own = (self.oracle.twins(c).eager for c in (workload.constants, {}))
        return outline(at_first, workload, self.problem, own)

    def _compiled(self) -> tuple[Compiled, ...]:
        """What Inductor generates at the sizes of several workloads."""
        return compiled(self.source, self.problem.direction, self.oracle.device, self.problem)


def _trace_other(said: Message) -> Graph:
    """The graph of another problem, such as a part of this one. Only its reference, its workloads'
    axes and constants are looked at."""
    problem = Problem.model_validate(said)
    workload = pick_trace_workloads(problem)[0]
    return trace(load_program(problem.reference, workload.constants), workload, problem)


def _give_back() -> None:
    """Leave a GPU's memory to others, of whom there may be many on it: torch keeps what it once
    had, and arithmetic in float64 may have had a large part."""
    if torch.cuda.memory_reserved() - torch.cuda.memory_allocated() > _KEPT_BYTES:
        torch.cuda.empty_cache()


def _physical_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _limit_memory(device: str) -> None:
    """An allocation beyond the machine's memory then fails here, and kills nothing.

    CUDA reserves far more address space than it uses, so there the limit is left alone.
    """
    if device == "cpu":
        limit = int(_physical_bytes() * _SHARE_FOR_ALL)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _end_with_parent() -> None:
    """End this process when the client's does: standard input is a pipe that it holds open."""
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def wait() -> None:
        while os.read(lifeline, 1):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def _reply(worker: Worker, question: Message) -> tuple[Message, int | None]:
    try:
        reply, fd = worker.answer(question)
        return {"ok": reply}, fd
    except ProblemError as error:
        return {"problem_error": str(error)}, None
    except KernelwrightError as error:
        return {"fault": str(error)}, None
    # Nothing may end this loop but the client: an error that is not ours is told, not raised.
    except Exception as error:
        return {"fault": f"{type(error).__name__}: {error}"[:2000]}, None


def main(fd: int) -> None:
    """Serve the client at the other end of the socket `fd` until it hangs up."""
    _end_with_parent()
    sock = socket.socket(fileno=fd)
    try:
        hello, _ = receive(sock)
        _limit_memory(hello["device"])
        torch.set_grad_enabled(False)
        # Tolerances come from the reference's own error, so it must not round its operands.
        torch.backends.cudnn.allow_tf32 = False
        worker = Worker(hello)
        send(sock, {"ok": {"ready": True}})
        while True:
            question, _ = receive(sock)
            reply, memory = _reply(worker, question)
            if hello["device"] == "cuda":
                _give_back()
            send(sock, reply, memory)
            if memory is not None:
                os.close(memory)
    except Closed:
        return


if __name__ == "__main__":
    main(int(sys.argv[1]))
