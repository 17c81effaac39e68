"""Compiling ahead: what a Triton module launches, found out with no device and no values.

A process like `module_runner`, inside the same sandbox, with the same protocol. It is given the
sizes that calls will have and answers with a file of launches, which `native/gpu_runner.c` runs
without Python. The first sizes are those that a writer may see; when the others are asked for, the
broker listens no longer to what the candidate prints.

    python -I -m kernelwright.evaluate.running.ahead
        SETUP ORDER ARTIFACT CONTROL TABLE INPUTS OUTPUTS

ORDER is JSON: `arch`, `properties`, `groups` of lists of axes, and how many `workers` may compile
side by side. "open" asks for one group; the answer is in the output memory, a length and so many
bytes of JSON, then of the file.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kernelwright.core.problem import Problem
from kernelwright.evaluate.running.capture import Capture, NotCaptured, StandIn, compile_for
from kernelwright.evaluate.running.frames import COMMAND, MAGIC, REPLY
from kernelwright.evaluate.running.launches import Launch, Place, Program, packed
from kernelwright.evaluate.running.loaded import import_file
from kernelwright.problems.loading import load_program
from kernelwright.problems.program import Program as Reference
from kernelwright.problems.program import flatten_outputs, made_for

_OPEN = 11
_CALLS = 3  # that must come to the same: what a module remembers of one may change the next
_LENGTH = struct.Struct("<q")
# By their names: which of Triton's errors say that a kernel cannot be had.
_REFUSALS = frozenset(
    ("CompilationError", "CompileTimeAssertionFailure", "UnsupportedLanguageConstruct",
     "PTXASError", "OutOfResources")
)  # fmt: skip


class Ahead:
    """Captures the calls of one candidate."""

    def __init__(self, setup: Mapping[str, Any], order: Mapping[str, Any], artifact: Path):
        self._problem = Problem.model_validate(setup["problem"])
        self._constants = {tuple(entry["axes"]): entry["constants"] for entry in setup["sizes"]}
        self._driver = compile_for(order["arch"], order["properties"])
        self._workers = int(order["workers"])
        self._artifact = artifact
        self._candidate: Any = None
        self.programs: list[Program] = []

    def take(self, group: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Capture a call for each of `group`; what became of it, for the broker."""
        try:
            if self._candidate is None:
                self._candidate = import_file(self._artifact)
            if len(group) > 1:
                self._warm(group)
            made = [self._program(tuple(axes)) for axes in group]
        except NotCaptured as error:
            return {"not_captured": str(error)}
        except Exception as error:  # the candidate's code may raise anything
            kind = "refused" if _names(error) & _REFUSALS else "not_captured"
            return {kind: f"{type(error).__name__}: {error}"}
        self.programs += made
        steps = made[0].steps if made else ()
        return {"kernels": sorted({s.kernel for s in steps if isinstance(s, Launch)})}

    def _warm(self, group: Sequence[Sequence[int]]) -> None:
        """Have children compile what `group` needs, into Triton's cache, where it is then found."""
        children = []
        for part in [group[n :: self._workers] for n in range(min(self._workers, len(group)))]:
            child = os.fork()
            if child == 0:
                with contextlib.suppress(BaseException):  # what goes wrong goes wrong once more
                    for axes in part:
                        self._program(tuple(axes))
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)

    def file(self) -> bytes:
        """Everything that was captured so far."""
        return packed(self._driver.kernels, self.programs)

    def _program(self, axes: tuple[int, ...]) -> Program:
        problem = self._problem
        sizes = dict(zip(problem.axes, axes, strict=True))
        stands = [
            StandIn(torch.empty(spec.sizes(sizes), dtype=getattr(torch, spec.dtype), device="meta"))
            for spec in problem.inputs
        ]
        reference = load_program(
            problem.reference, self._constants[axes], device="meta", direction="forward"
        )
        with made_for("meta"):
            model = self._candidate.ModelNew(*reference.init_inputs)
        weights = {
            spec.name: stand
            for spec, stand in zip(problem.inputs, stands, strict=True)
            if spec.role == "weight"
        }
        _give(model.train(reference.model.training), reference, weights)
        arguments = [
            stand
            for spec, stand in zip(problem.inputs, stands, strict=True)
            if spec.role != "weight"
        ]
        found = [self._captured(axes, model, arguments, stands) for _ in range(_CALLS)]
        if found.count(found[0]) != _CALLS:
            raise NotCaptured("calls differ from each other")
        return found[0]

    def _captured(
        self, axes: tuple[int, ...], model: nn.Module, arguments: Sequence[StandIn],
        stands: Sequence[StandIn],
    ) -> Program:  # fmt: skip
        """One call."""
        self._driver.capture = capture = Capture(stands)
        with torch.no_grad(), capture:
            returned = flatten_outputs(model(*arguments))
        return self._into_outputs(axes, capture, returned)

    def _into_outputs(
        self, axes: tuple[int, ...], capture: Capture, returned: Sequence[Tensor]
    ) -> Program:
        """The program with the memory of what is returned replaced by that of the outputs."""
        problem = self._problem
        sizes = dict(zip(problem.axes, axes, strict=True))
        if len(returned) != len(problem.outputs):
            raise NotCaptured(f"{len(returned)} outputs")
        outputs: dict[int, int] = {}
        for number, (spec, tensor) in enumerate(zip(problem.outputs, returned, strict=True)):
            place = capture.place(tensor)
            whole = tensor.is_contiguous() and place.of == "scratch" and place.offset == 0
            fits = tensor.shape == spec.sizes(sizes) and tensor.dtype == getattr(torch, spec.dtype)
            if not whole or not fits or place.index in outputs:
                raise NotCaptured(f"the output {spec.name} is no memory of its own")
            if capture.scratch[place.index] != spec.nbytes(sizes):
                raise NotCaptured(f"the output {spec.name} is a part of other memory")
            outputs[place.index] = len(problem.inputs) + number
        return moved(Program(axes, tuple(capture.scratch), tuple(capture.steps)), outputs)


def moved(program: Program, outputs: Mapping[int, int]) -> Program:
    """`program` with some of its own memory, by number, replaced by tensors of the call."""

    def place(at: Any) -> Any:
        if isinstance(at, Place) and at.of == "scratch" and at.index in outputs:
            return Place("tensor", outputs[at.index], at.offset)
        return at

    steps = tuple(
        replace(step, arguments=tuple(map(place, step.arguments)))
        if isinstance(step, Launch)
        else replace(step, at=place(step.at))
        for step in program.steps
    )
    scratch = [0 if n in outputs else nbytes for n, nbytes in enumerate(program.scratch)]
    return Program(program.axes, tuple(scratch), steps)


def _give(model: nn.Module, reference: Reference, weights: Mapping[str, StandIn]) -> None:
    """Replace the weights of `model` by stand-ins, under the names that the reference has."""
    theirs, ours = (m.state_dict(keep_vars=True) for m in (reference.model, model))
    by_identity = {id(theirs[key]): weights[name] for name, key in reference.weight_names.items()}
    if theirs.keys() != ours.keys() or any(
        id(theirs[key]) not in by_identity or theirs[key].shape != ours[key].shape for key in theirs
    ):
        raise NotCaptured("its state_dict is not that of the reference")
    for prefix, module in model.named_modules():
        for held in (module._parameters, module._buffers):
            for name in held:
                key = f"{prefix}.{name}" if prefix else name
                if key in theirs:
                    held[name] = by_identity[id(theirs[key])]


def _names(error: BaseException) -> set[str]:
    """The names of an error's classes, and of what it was raised from."""
    cause = error.__cause__
    own = {base.__name__ for base in type(error).__mro__}
    return own | (_names(cause) if cause is not None else set())


def get_ready() -> None:
    """What torch imports when it is first asked for tensors without values, or to let somebody look
    at its operators: two seconds of it. For a process that many are forked from."""
    with made_for("meta"):
        stand = StandIn(torch.randn(1))
    with torch.no_grad(), Capture([stand]):
        torch.empty_like(stand)


def serve(
    control: socket.socket, ahead: Ahead, groups: Sequence[Sequence[Sequence[int]]], output: Any
) -> None:
    """Answer commands until the broker closes the socket."""
    while frame := control.recv(COMMAND.size):
        _, operation, first, count, _, _ = COMMAND.unpack(frame)
        if operation == _OPEN:
            said = ahead.take(groups[first])
            file = b"" if "kernels" not in said else ahead.file()
            text = json.dumps({**said, "bytes": len(file)}).encode()
            answer = _LENGTH.pack(len(text)) + text + file
            if len(answer) > len(output):
                text = json.dumps({"not_captured": "too much code", "bytes": 0}).encode()
                answer = _LENGTH.pack(len(text)) + text
            output[: len(answer)] = answer
        control.send(REPLY.pack(MAGIC, operation, 0, count, 0))


def main(arguments: Sequence[str]) -> None:
    """Set up from `arguments` and serve."""
    setup, order = json.loads(Path(arguments[0]).read_text()), json.loads(arguments[1])
    control, _, _, output_fd = (int(value) for value in arguments[3:])
    ahead = Ahead(setup, order, Path(arguments[2]))
    serve(socket.socket(fileno=control), ahead, order["groups"], mmap.mmap(output_fd, 0))


if __name__ == "__main__":
    main(sys.argv[1:])
