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
from collections.abc import Callable

import torch

from kernelwright.core.errors import KernelwrightError, ProblemError
from kernelwright.core.problem import Problem, Source, Workload
from kernelwright.problems.channel import Closed, Message, receive, send, share
from kernelwright.problems.checks import sound_distributions
from kernelwright.problems.derive import derive
from kernelwright.problems.mutants import admit
from kernelwright.problems.oracle import Answer, Oracle, raw
from kernelwright.problems.sizes import pick_trace_workloads
from kernelwright.problems.tracing import trace

_SHARE_OF_MEMORY = 0.7


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
        handlers: dict[str, Callable[[Message], tuple[Message, int | None]]] = {
            "load": lambda _: self._load(),
            "distributions": lambda _: self._distributions(),
            "case": self._case,
            "demand": lambda _: self._demand(),
            "trace": self._trace,
            "admit": self._admit,
        }
        return handlers[question["ask"]](question)

    @property
    def problem(self) -> Problem:
        """The problem that the file is; worked out when first asked for."""
        if self._problem is None:
            limit = int(_physical_bytes() * _SHARE_OF_MEMORY)
            self._problem = derive(self.source, self.origin, self.oracle, memory_bytes=limit)
        return self._problem

    @property
    def sound(self) -> tuple[str, ...]:
        """The distributions under which the reference's own arithmetic is right."""
        if self._sound is None:
            self._sound = sound_distributions(self.oracle, self.problem)
        return self._sound

    def _load(self) -> tuple[Message, None]:
        return {"problem": self.problem.model_dump(mode="json")}, None

    def _distributions(self) -> tuple[Message, None]:
        return {"distributions": list(self.sound)}, None

    def _case(self, question: Message) -> tuple[Message, int]:
        workload = Workload.model_validate(question["workload"])
        answer = self.oracle.sound_answer(
            self.problem,
            workload,
            question["distribution"],
            question["seed"],
            question["weights_seed"],
        )
        return _packed(self.problem, answer)

    def _demand(self) -> tuple[Message, None]:
        """What a call at the report size demands, seen in one run on a draw of the file."""
        work = self.oracle.work(self.problem, self.problem.report_workload)
        return {"flops": work.flops, "whole": work.whole}, None

    def _trace(self, question: Message) -> tuple[Message, None]:
        given = question["workload"]
        if given is not None:
            workload = Workload.model_validate(given)
        else:
            workload = pick_trace_workloads(self.problem)[0]
        program = self.oracle.twins(workload.constants).eager
        return {"graph": trace(program, workload, self.problem).model_dump(mode="json")}, None

    def _admit(self, question: Message) -> tuple[Message, None]:
        admission = admit(self.oracle, self.problem, self.sound, question["seed"])
        return {"admission": admission.model_dump(mode="json")}, None


def _packed(problem: Problem, answer: Answer) -> tuple[Message, int]:
    """A case as a message and the memory that its arrays lie in."""
    inputs = [raw(answer.values[spec.name]) for spec in problem.inputs]
    values = [expected.values for expected in answer.expected]
    slacks = [e.slack for e in answer.expected if e.slack is not None]
    fd, offsets = share([*inputs, *values, *slacks])
    message: Message = {
        "workload_id": answer.workload_id,
        "distribution": answer.distribution,
        "eager_s": answer.eager_s,
        "inputs": [[a.size, at] for a, at in zip(inputs, offsets, strict=False)],
        "expected": [],
    }
    rest = iter(offsets[len(inputs) + len(values) :])
    for expected, offset in zip(answer.expected, offsets[len(inputs) :], strict=False):
        limit = expected.tolerance
        message["expected"].append(
            {
                "name": expected.name,
                "dtype": expected.dtype,
                "shape": list(expected.values.shape),
                "offset": offset,
                "tolerance": None if limit is None else vars(limit),
                "slack": None if expected.slack is None else next(rest),
            }
        )
    return message, fd


def _physical_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _limit_memory(device: str) -> None:
    """An allocation beyond the machine's memory then fails here, and kills nothing.

    CUDA reserves far more address space than it uses, so there the limit is left alone.
    """
    if device == "cpu":
        limit = int(_physical_bytes() * 0.9)
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
            send(sock, reply, memory)
            if memory is not None:
                os.close(memory)
    except Closed:
        return


if __name__ == "__main__":
    main(int(sys.argv[1]))
