"""The runner of the module lane: one Python candidate, one life.

It runs inside the sandbox, loads a file with ``ModelNew``, and calls it on tensors in memory that
the broker gave. It speaks the protocol of `native/runner.c`, and like it forms no verdict: what it
says can only fail a candidate, never pass one.

`ModelNew` is made once for every call, with that call's weights, before anything is timed: a
module's weights do not change between calls, so it may keep them in another layout.

On a GPU tensors lie in memory of this process's own, which "stage" and "collect" copy to and from;
or in memory that LENT names, `library:handles` (see `running/device.py`). Then calls are timed:
"queue" queues them behind a gate, and outputs are named instead of copied.

    python -I -m kernelwright.evaluate.running.module_runner
        SETUP LENT ARTIFACT CONTROL TABLE INPUTS OUTPUTS
"""

from __future__ import annotations

import json
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kernelwright.core.problem import Problem
from kernelwright.evaluate.running.allocation import SETTLING_ROUNDS, Allocator
from kernelwright.evaluate.running.device import DeviceError
from kernelwright.evaluate.running.frames import COMMAND, MAGIC, REPLY
from kernelwright.evaluate.running.loaded import import_file
from kernelwright.evaluate.running.module_calls import Calls
from kernelwright.problems.loading import load_program
from kernelwright.problems.program import Program, flatten_outputs, synchronize

_LOAD, _RETURNED, _COLLECT, _STAGE, _QUEUE, _PROFILE = 1, 3, 5, 7, 10, 12
_OK, _FAILED, _WRONG_SHAPE, _WRONG_DTYPE = 0, 1, 3, 4


class Misshapen(Exception):
    """The outputs are not those of the problem; `status` says in which way."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class Runner:
    """The loop over the broker's commands."""

    def __init__(
        self, control: socket.socket, problem: Problem, setup: dict[str, Any], calls: Calls
    ):
        self._control = control
        self._problem = problem
        self._device: str = setup["device"]
        self._constants = {tuple(entry["axes"]): entry["constants"] for entry in setup["sizes"]}
        self._calls = calls
        self._models: list[nn.Module] = []
        self._used: list[list[Tensor]] = []
        self._kept: list[tuple[int, object]] = []
        self._allocator = Allocator()

    def serve(self, artifact: Path) -> None:
        """Answer commands until the broker closes the socket."""
        while frame := self._control.recv(COMMAND.size):
            _, operation, first, count, _, token = COMMAND.unpack(frame)
            status, claimed = _OK, 0
            try:
                if operation == _LOAD:
                    self._load(artifact)
                    self._touch_heap(count)
                elif operation == _STAGE:
                    self._stage(first, count)
                elif operation == _RETURNED:
                    claimed = self._run(first, count)
                elif operation == _PROFILE:
                    claimed = self._profiled(first, count)
                elif operation == _QUEUE:
                    self._queue(first, count, token)
                elif operation == _COLLECT:
                    claimed = self._collect()
            except Misshapen as error:
                print(error, flush=True)
                status = error.status
            except Exception:  # the candidate's code may raise anything
                traceback.print_exc()
                sys.stderr.flush()
                status = _FAILED
            self._control.send(REPLY.pack(MAGIC, operation, status, count, claimed))

    def _load(self, artifact: Path) -> None:
        # What cannot be imported costs nobody a context on a device.
        candidate = import_file(artifact)
        used = {self._calls.axes(index) for index in range(len(self._calls.rows))}
        references = {
            axes: load_program(
                self._problem.reference, constants, device=self._device, direction="forward"
            )
            for axes, constants in self._constants.items()
            if axes in used
        }
        for index in range(len(self._calls.rows)):
            inputs = [tensor.to(self._device) for tensor in self._calls.inputs(index)]
            self._used.append(inputs)
            if self._calls.device is not None and index > 0:
                self._models.append(self._models[0])  # the weights are one for all
                continue
            reference = references[self._calls.axes(index)]
            weights = {
                spec.name: tensor
                for spec, tensor in zip(self._problem.inputs, inputs, strict=True)
                if spec.role == "weight"
            }
            self._models.append(_make(candidate.ModelNew, reference, weights))

    def _touch_heap(self, most: int) -> None:
        """Have the allocator hold what the outputs of `most` calls will need, touched."""
        if self._calls.device is not None:
            return
        self._allocator.settle("returned")
        for calls in (1, most) * SETTLING_ROUNDS:
            held = [
                torch.ones_like(output, device=self._device)
                for index in range(calls)
                for output in self._calls.outputs(index)
            ]
            held.clear()

    def _stage(self, first: int, count: int) -> None:
        """Bring inputs that the broker has just shown to a device that has memory of its own."""
        for index in range(first, first + count):
            for host, used in zip(self._calls.inputs(index), self._used[index], strict=True):
                used.copy_(host)

    def _arguments(self, index: int) -> list[Any]:
        """What the model is called on: scalars as numbers, everything else as a tensor."""
        return [
            tensor.item() if spec.role == "scalar" else tensor
            for spec, tensor in zip(self._problem.inputs, self._used[index], strict=True)
            if spec.role != "weight"
        ]

    def _run(self, first: int, count: int) -> int:
        start = time.perf_counter_ns()
        self._call(first, count)
        synchronize(self._device)
        return time.perf_counter_ns() - start

    def _profiled(self, first: int, count: int) -> int:
        """As `_run`, and tell a profiler that may watch this process which part of it this is."""
        with torch.cuda.profiler.profile():
            return self._run(first, count)

    def _call(self, first: int, count: int) -> None:
        with torch.no_grad():
            for index in range(first, first + count):
                returned = self._models[index](*self._arguments(index))
                self._kept.append((index, self._held(index, returned)))

    def _queue(self, first: int, count: int, token: int) -> None:
        """Have calls wait on the device until the broker opens the gate."""
        assert self._calls.device is not None
        self._calls.device.close_gate(token)
        self._call(first, count)
        self._calls.device.say_done(token)

    def _held(self, index: int, returned: Any) -> Any:
        """What is kept of the outputs of call `index`. Where calls are timed it is contiguous: a
        view that leaves the work of a copy to its reader pays for the copy."""
        if self._named:
            return self._name(index, returned)
        if self._device == "cpu":
            return returned
        found = tuple(map(_contiguous, flatten_outputs(returned)))
        return found if self._calls.device is None else self._name_on_device(index, found)

    def _name_on_device(self, index: int, found: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Say where outputs are. Those in memory that no other process can open are copied."""
        device, wanted = self._calls.device, len(self._problem.outputs)
        assert device is not None
        try:
            device.name(found[:wanted], index * wanted)
        except DeviceError:
            found = tuple(tensor.clone() for tensor in found)
            device.name(found[:wanted], index * wanted)
        return found

    @property
    def _named(self) -> bool:
        """Whether the broker reads outputs where they are, instead of having them copied."""
        return self._calls.addresses is not None and self._device == "cpu"

    def _name(self, index: int, returned: Any) -> Any:
        """Say where the outputs of call `index` are; what holds them from now on. It is timed,
        hence the shortest way for what is returned most: one contiguous tensor."""
        assert self._calls.addresses is not None
        if type(returned) is Tensor and returned.is_contiguous():
            self._calls.addresses[index, 0] = returned.data_ptr()
            return returned
        found = [_contiguous(tensor) for tensor in flatten_outputs(returned)]
        for number, tensor in enumerate(found[: self._calls.addresses.shape[1]]):
            self._calls.addresses[index, number] = tensor.data_ptr()
        return tuple(found)

    def _collect(self) -> int:
        """Check what is kept, bring it where the broker finds it, and let it go. What the last
        queue is claimed to have taken, in nanoseconds."""
        device = self._calls.device
        if device is not None:
            synchronize(self._device)
        for index, returned in self._kept:
            found, wanted = flatten_outputs(returned), self._calls.shapes(index)
            if len(found) != len(wanted):
                raise Misshapen(_WRONG_SHAPE, f"{len(found)} outputs, must be {len(wanted)}")
            for spec, ours, theirs in zip(self._problem.outputs, wanted, found, strict=True):
                _check(spec.name, ours, theirs, self._device)
                if not self._named and device is None:
                    ours.copy_(theirs)
            if self._device != "cpu" and self._calls.shared and device is None:
                # On a GPU the inputs are copies; bring back what became of them.
                given = self._calls.inputs(index)
                for host, used in zip(given, self._used[index], strict=True):
                    host.copy_(used)
        self._kept.clear()
        return 0 if device is None else device.claimed_ns()


def _contiguous(output: Tensor) -> Tensor:
    """It, or a copy without gaps. What looks like a tensor could answer with something else."""
    _check_plain("An output", output)
    return output.contiguous()


def _check_plain(name: str, found: Tensor) -> None:
    if type(found) not in (Tensor, nn.Parameter):
        raise Misshapen(_WRONG_DTYPE, f"{name} is a {type(found).__name__}, must be a Tensor")


def _check(name: str, wanted: Tensor, found: Tensor, device: str) -> None:
    _check_plain(name, found)
    if found.shape != wanted.shape:
        shapes = f"{tuple(found.shape)}, must be {tuple(wanted.shape)}"
        raise Misshapen(_WRONG_SHAPE, f"{name} has the shape {shapes}")
    if found.dtype != wanted.dtype:
        raise Misshapen(_WRONG_DTYPE, f"{name} is {found.dtype}, must be {wanted.dtype}")
    if found.device.type != device:
        raise Misshapen(_WRONG_DTYPE, f"{name} is on {found.device}, must be on {device}")


def _make(model_class: Any, reference: Program, weights: dict[str, Tensor]) -> nn.Module:
    """A `ModelNew` with this call's weights, under the state_dict keys of the reference."""
    model: nn.Module = model_class(*reference.init_inputs)
    if reference.weight_names:
        reference.set_weights(weights)
        state = {name: value.clone() for name, value in reference.model.state_dict().items()}
        model.load_state_dict(state)
    return model.to(reference.device).train(reference.model.training)


def main(arguments: Sequence[str]) -> None:
    """Set up from `arguments` and serve."""
    setup = json.loads(Path(arguments[0]).read_text())
    control, table_fd, input_fd, output_fd = (int(value) for value in arguments[3:])
    problem = Problem.model_validate(setup["problem"])
    calls = Calls(problem, arguments[1], table_fd, input_fd, output_fd)
    runner = Runner(socket.socket(fileno=control), problem, setup, calls)
    runner.serve(Path(arguments[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
