"""A process of its own that runs the reference as the baselines: eager, and compiled.

Trusted, but apart from the judge, so that both sides of a comparison are a process that finds
its inputs in shared memory (`staging`) and answers when told. It speaks the runner's protocol (see
`native/runner.c`), and follows the same allocation regimes: in "returned" glibc allocates as it
settles by itself, in "buffer" every block comes from memory that was touched before.

On a GPU its inputs lie in memory of the keeper's, and "queue" has calls wait behind a gate. It does
not touch the GPU before its first command: somebody may be measuring.

    python -I -m kernelwright.evaluate.timing.baseline_worker
        SETUP_FD CONTROL_FD TABLE_FD INPUT_FD PAGE_FD
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernelwright.core.evaluation import Regime
from kernelwright.core.problem import Problem, TensorSpec
from kernelwright.evaluate.running.allocation import SETTLING_ROUNDS, Allocator
from kernelwright.evaluate.running.device import LentDevice
from kernelwright.evaluate.running.frames import COMMAND, MAGIC, REPLY
from kernelwright.problems.loading import load_program
from kernelwright.problems.program import Program, flatten_outputs, synchronize

_LOAD, _BUFFER, _RETURNED, _COLLECT, _STAGE, _QUEUE, _OPEN = 1, 2, 3, 5, 7, 10, 11
_REGIMES: dict[int, Regime] = {_RETURNED: "returned", _BUFFER: "buffer"}

Run = Callable[..., Any]
Call = Callable[[], Any]


class Staged:
    """The inputs and weights that the broker staged, as tensors over the memory they lie in."""

    def __init__(self, problem: Problem, table_fd: int, input_fd: int, device: LentDevice | None):
        table = np.frombuffer(mmap.mmap(table_fd, 0, prot=mmap.PROT_READ), np.int64)
        n_in, n_out, n_axes, n_calls, guards_in, guards_out = (int(value) for value in table[:6])
        rows = table[6 + guards_in + guards_out : -1].reshape(n_calls, 2 * (n_in + n_out) + n_axes)
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        memory = mmap.mmap(input_fd, 0, flags=flags, prot=mmap.PROT_READ)
        axes = problem.report_workload.axes
        self._specs = problem.inputs

        def found(at: int, spec: TensorSpec) -> Tensor:
            if device is None or spec.role == "scalar":
                return _view(memory, at, spec, axes)
            return device.input(at, spec, axes)

        self._slots = [
            [found(int(at), spec) for spec, at in zip(self._specs, row, strict=True)]
            for row in rows[:, :n_in]
        ]

    def __len__(self) -> int:
        return len(self._slots)

    def values(self, slot: int) -> list[Any]:
        """What the reference is called on: its inputs, scalars as numbers."""
        return [
            tensor.item() if spec.role == "scalar" else tensor
            for tensor, spec in zip(self._slots[slot], self._specs, strict=True)
            if spec.role != "weight"
        ]

    def weights(self) -> dict[str, Tensor]:
        """The weights by name; all slots share them."""
        return {
            spec.name: tensor
            for tensor, spec in zip(self._slots[0], self._specs, strict=True)
            if spec.role == "weight"
        }


def _view(memory: mmap.mmap, offset: int, spec: TensorSpec, axes: dict[str, int]) -> Tensor:
    dtype, count = getattr(torch, spec.dtype), spec.elements(axes)
    if count == 0:
        return torch.empty(spec.sizes(axes), dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the memory is read-only; so are we
        flat = torch.frombuffer(memory, dtype=dtype, count=count, offset=offset)
    return flat.reshape(spec.sizes(axes))


class Worker:
    """The loop over the broker's commands."""

    def __init__(
        self,
        control: socket.socket,
        program: Program,
        staged: Staged,
        device: LentDevice | None,
    ):
        self._control = control
        self._program = program
        self._staged = staged
        self._device = device
        self._subjects: list[Run | None] = [program.model, None, None]  # in the order of SUBJECTS
        self._calls: list[Call] = []
        self._kept: list[Any] = []
        self._allocator = Allocator()
        self._regime: Regime | None = None

    def serve(self) -> None:
        """Answer commands until the broker closes the socket."""
        works = 0
        while frame := self._control.recv(COMMAND.size):
            _, operation, first, count, subject, token = COMMAND.unpack(frame)
            claimed = 0
            if operation == _LOAD:
                self._program.set_weights(self._staged.weights())
                works = count = works or self._load()
            elif operation == _STAGE:
                self._calls = self._prepared(self._subjects[subject], first, count)
            elif operation in _REGIMES:
                self._settle(_REGIMES[operation])
                claimed = self._run()
            elif operation == _QUEUE:
                self._queue(token)
            elif operation == _OPEN:
                self._named()
            elif operation == _COLLECT:
                synchronize(self._program.device)
                self._kept.clear()
                self._calls.clear()
            self._control.send(REPLY.pack(MAGIC, operation, 0, count, claimed))

    def _prepared(self, subject: Run | None, first: int, count: int) -> list[Call]:
        """The calls of a block, with everything done that is not timed."""
        assert subject is not None
        slots = range(first, first + count)
        return [self._program.prepare(self._staged.values(slot), subject) for slot in slots]

    def _queue(self, token: int) -> None:
        """Have the calls wait on the device until the broker opens the gate."""
        assert self._device is not None
        self._device.close_gate(token)
        for call in self._calls:
            self._kept.append(call())
        self._device.say_done(token)

    def _named(self) -> None:
        """Make the one call that is staged, and say where its outputs are."""
        assert self._device is not None
        outputs = [tensor.contiguous() for tensor in flatten_outputs(self._calls[0]())]
        synchronize(self._program.device)
        self._device.name(outputs)
        self._kept.append(outputs)

    def _run(self) -> int:
        start = time.perf_counter_ns()
        for call in self._calls:
            self._kept.append(call())
        synchronize(self._program.device)
        return time.perf_counter_ns() - start

    def _load(self) -> int:
        """Bring all subjects up; the reply's bits say which of them work."""
        # A device loads a kernel when it is first launched, and cannot do so behind a closed gate.
        self._program.prepare(self._staged.values(0), self._subjects[0])()
        self._compile(1)
        if self._device is not None:
            # Not with CUDA graphs: queued calls have no launches that a graph could save.
            self._compile(2, mode="max-autotune-no-cudagraphs")
        return sum(1 << bit for bit, subject in enumerate(self._subjects) if subject is not None)

    def _compile(self, subject: int, **how: Any) -> None:
        """Compile the program to be `subject`, where it can be."""
        compiled: Run = torch.compile(self._program.model, dynamic=False, **how)
        try:
            self._program.prepare(self._staged.values(0), compiled)()
            self._subjects[subject] = compiled
        except Exception:  # whatever the compiler raises, eager mode is still a baseline
            traceback.print_exc()

    def _settle(self, regime: Regime) -> None:
        """Enter `regime`, with the memory touched that blocks of many calls will need."""
        if regime == self._regime:
            return
        self._regime = regime
        if self._device is not None:
            return  # torch keeps a device's memory by itself
        self._allocator.settle(regime)
        asked = self._calls
        for subject in [s for s in self._subjects if s is not None]:
            for calls in (1, len(self._staged)) * SETTLING_ROUNDS:
                self._calls = self._prepared(subject, 0, calls)
                self._run()
                self._kept.clear()
        self._calls = asked


def main(arguments: Sequence[str]) -> None:
    """Set up from the descriptors in `arguments` and serve."""
    setup_fd, control_fd, table_fd, input_fd, page_fd = (int(value) for value in arguments)
    with os.fdopen(setup_fd) as file:
        setup = json.load(file)
    problem = Problem.model_validate(setup["problem"])
    torch.set_num_threads(setup["threads"])
    torch.set_grad_enabled(False)
    control = socket.socket(fileno=control_fd)
    control.recv(1, socket.MSG_PEEK)
    constants, device = problem.report_workload.constants, setup["device"]
    program = load_program(problem.reference, constants, device=device, direction=problem.direction)
    lent = None
    if setup["handles"]:
        page = mmap.mmap(page_fd, 0)
        lent = LentDevice(setup["gate"], setup["handles"], page, setup["names_at"])
    staged = Staged(problem, table_fd, input_fd, lent)
    gc.disable()  # a collection in the middle of a block is not the reference's doing
    Worker(control, program, staged, lent).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
