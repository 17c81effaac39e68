"""A process of its own that runs the reference as the baselines: eager and compiled.

Trusted, but apart from the judge, so that both sides of a comparison are a process that reads
its inputs from shared memory and answers when told. It speaks the runner's protocol (see
`native/runner.c`), and follows the same allocation regimes: in "returned" glibc allocates as it
settles by itself, in "buffer" every block comes from memory that was touched before.

    python -I -m kernelwright.evaluate.baseline_worker SETUP_FD CONTROL_FD TABLE_FD INPUT_FD
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import socket
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kernelwright.core.evaluation import Regime
from kernelwright.core.problem import Problem
from kernelwright.evaluate.allocation import SETTLING_ROUNDS, Allocator
from kernelwright.evaluate.blocks import most_calls
from kernelwright.problems.loading import Program, load_program, synchronize

_MAGIC = 0x4B57524E
_COMMAND = struct.Struct("<6I")
_REPLY = struct.Struct("<4Iq")
_LOAD, _BUFFER, _RETURNED, _COLLECT, _PING = 1, 2, 3, 5, 6
_REGIMES: dict[int, Regime] = {_RETURNED: "returned", _BUFFER: "buffer"}

Run = Callable[..., Any]


@dataclass(frozen=True)
class Inputs:
    """Every call's inputs as tensors over the shared memory, and its weights by name."""

    values: list[list[Any]]
    weights: dict[str, torch.Tensor]


def read_inputs(problem: Problem, table_fd: int, input_fd: int, device: str) -> Inputs:
    """The tensors of every call in the table, on `device`; the weights are the first call's."""
    table = np.frombuffer(mmap.mmap(table_fd, 0, prot=mmap.PROT_READ), np.int64)
    n_in, n_out, n_axes, n_calls, guards_in, guards_out = (int(value) for value in table[:6])
    rows = table[6 + guards_in + guards_out :].reshape(n_calls, 2 * n_in + 2 * n_out + n_axes)
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
    memory = mmap.mmap(input_fd, 0, flags=flags, prot=mmap.PROT_READ)
    axes = problem.report_workload.axes
    calls: list[list[Any]] = []
    for row in rows:
        tensors = []
        for spec, offset in zip(problem.inputs, row[:n_in], strict=True):
            dtype = getattr(torch, spec.dtype)
            count = spec.elements(axes)
            if count == 0:
                tensors.append(torch.empty(spec.sizes(axes), dtype=dtype))
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # the memory is read-only; so are we
                flat = torch.frombuffer(memory, dtype=dtype, count=count, offset=int(offset))
            tensors.append(flat.reshape(spec.sizes(axes)).to(device))
        calls.append(tensors)
    roles = [spec.role for spec in problem.inputs]
    values = [
        [t.item() if role == "scalar" else t for t, role in zip(call, roles, strict=True)
         if role != "weight"]
        for call in calls
    ]  # fmt: skip
    weights = {
        spec.name: tensor.clone()
        for spec, tensor in zip(problem.inputs, calls[0], strict=True)
        if spec.role == "weight"
    }
    return Inputs(values, weights)


class Worker:
    """The loop over the broker's commands."""

    def __init__(self, control: socket.socket, program: Program, inputs: Inputs):
        self._control = control
        self._program = program
        self._inputs = inputs
        self._subjects: list[Run | None] = [program.model, None]  # in the order of SUBJECTS
        self._kept: list[Any] = []
        self._allocator = Allocator()
        self._regime: Regime | None = None

    def serve(self) -> None:
        """Answer commands until the broker closes the socket."""
        works = self._load()
        while frame := self._control.recv(_COMMAND.size):
            _, operation, first, count, subject, _ = _COMMAND.unpack(frame)
            claimed = 0
            if operation == _LOAD:
                count = works
            elif operation in _REGIMES:
                self._settle(_REGIMES[operation])
                claimed = self._run(self._subjects[subject], first, count)
            elif operation == _COLLECT:
                self._kept.clear()
            self._control.send(_REPLY.pack(_MAGIC, operation, 0, count, claimed))

    def _run(self, subject: Run | None, first: int, count: int) -> int:
        assert subject is not None
        values = self._inputs.values[first : first + count]
        start = time.perf_counter_ns()
        for value in values:
            self._kept.append(subject(*value))
        synchronize(self._program.device)
        return time.perf_counter_ns() - start

    def _load(self) -> int:
        """Bring both subjects up; the reply's bits say which of them work."""
        self._program.set_weights(self._inputs.weights)
        compiled: Run = torch.compile(self._program.model, dynamic=False)
        try:
            compiled(*self._inputs.values[0])
            self._subjects[1] = compiled
        except Exception:  # whatever the compiler raises, eager mode is still a baseline
            traceback.print_exc()
        return sum(1 << bit for bit, subject in enumerate(self._subjects) if subject is not None)

    def _settle(self, regime: Regime) -> None:
        """Enter `regime`, with the memory touched that blocks of many calls will need."""
        if regime == self._regime:
            return
        self._regime = regime
        self._allocator.settle(regime)
        most = most_calls(len(self._inputs.values))
        for subject in [s for s in self._subjects if s is not None]:
            for calls in (1, most) * SETTLING_ROUNDS:
                self._run(subject, 0, calls)
                self._kept.clear()


def main(arguments: Sequence[str]) -> None:
    """Set up from the descriptors in `arguments` and serve."""
    setup_fd, control_fd, table_fd, input_fd = (int(value) for value in arguments[:4])
    with os.fdopen(setup_fd) as file:
        setup = json.load(file)
    problem = Problem.model_validate(setup["problem"])
    torch.set_num_threads(setup["threads"])
    torch.set_grad_enabled(False)
    constants, device = problem.report_workload.constants, setup["device"]
    program = load_program(problem.reference, constants, device=device)
    inputs = read_inputs(problem, table_fd, input_fd, device)
    gc.disable()  # a collection in the middle of a block is not the reference's doing
    Worker(socket.socket(fileno=control_fd), program, inputs).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
