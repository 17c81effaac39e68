"""What tensors a reference has under given constants, seen by running it without values.

On the ``meta`` device a program runs in a few milliseconds whatever its sizes are. Where it
cannot (its inputs come from NumPy, say), it is run for real.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import ITEM_BYTES, Direction, DType, Source
from kernelwright.problems.dtypes import DTYPES
from kernelwright.problems.gradients import output_names
from kernelwright.problems.loading import load_program
from kernelwright.problems.program import Program
from kernelwright.problems.work import Work, measured

Role = Literal["input", "weight", "scalar", "output"]


@dataclass(frozen=True)
class Seen:
    """One tensor or scalar, under some constants."""

    name: str
    role: Role
    dtype: DType
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A program's tensors under `constants`, and the work that one call does."""

    constants: Mapping[str, int]
    tensors: tuple[Seen, ...]
    work: Work

    @property
    def structure(self) -> tuple[tuple[str, Role, DType, int], ...]:
        """Everything but the sizes."""
        return tuple((t.name, t.role, t.dtype, len(t.shape)) for t in self.tensors)

    @property
    def nbytes(self) -> int:
        """Bytes of all inputs, weights and outputs."""
        total = 0
        for tensor in self.tensors:
            count = 1
            for size in tensor.shape:
                count *= size
            total += count * ITEM_BYTES[tensor.dtype]
        return total


@dataclass
class Observer:
    """Runs one file under many constants, each once. `on_meta` turns false for good when the
    first run without values fails and the real one does not."""

    source: Source
    device: str = "cpu"
    direction: Direction = "forward"
    on_meta: bool = True
    _seen: dict[tuple[tuple[str, int], ...], Observation | None] = field(default_factory=dict)

    @property
    def successes(self) -> list[Observation]:
        """Every observation so far, in order."""
        return [o for o in self._seen.values() if o is not None]

    @property
    def count(self) -> int:
        """How many different constants were tried."""
        return len(self._seen)

    def first(self) -> Observation:
        """The file under its own constants.

        Raises:
            ProblemError: it does not run.
        """
        try:
            found = observe(self.source, {}, device="meta", direction=self.direction)
        except ProblemError:
            found = observe(self.source, {}, device=self.device, direction=self.direction)
            self.on_meta = False
        self._seen[()] = found
        return found

    def try_constants(self, constants: Mapping[str, int]) -> Observation | None:
        """The file under other constants; None when it does not run under them."""
        key = tuple(sorted(constants.items()))
        if key not in self._seen:
            try:
                device = "meta" if self.on_meta else self.device
                self._seen[key] = observe(
                    self.source, constants, device=device, direction=self.direction
                )
            except ProblemError:
                self._seen[key] = None
        return self._seen[key]


def observe(
    source: Source, constants: Mapping[str, int], *, device: str, direction: Direction
) -> Observation:
    """Run `source` once and list what went in and came out.

    Raises:
        ProblemError: it does not run under these constants on this device.
    """
    program = load_program(source, constants, device=device, direction=direction)
    inputs = program.make_inputs(0)
    outputs, work = measured(program.run, inputs)
    return Observation(
        constants=dict(constants), tensors=tuple(_tensors(program, inputs, outputs)), work=work
    )


def _tensors(program: Program, inputs: list[Any], outputs: tuple[Tensor, ...]) -> list[Seen]:
    given = [_seen_input(n, v) for n, v in zip(program.input_names, inputs, strict=True)]
    count = len(given) - len(program.cotangent_names)
    found = given[:count]
    found += [_seen(name, "weight", value) for name, value in program.weights().items()]
    found += given[count:]
    gradients = program.gradients
    names = list(gradients.names) if gradients else output_names(len(outputs))
    found += [_seen(name, "output", o) for name, o in zip(names, outputs, strict=True)]
    return found


def _seen(name: str, role: Role, value: Tensor) -> Seen:
    return Seen(name, role, DTYPES[value.dtype], tuple(value.shape))


def _seen_input(name: str, value: Any) -> Seen:
    if isinstance(value, Tensor):
        return _seen(name, "input", value)
    dtype: DType = "bool" if isinstance(value, bool) else "float64"
    if isinstance(value, int) and not isinstance(value, bool):
        dtype = "int64"
    return Seen(name, "scalar", dtype, ())
