"""The oracle: the same program in float64.

Besides the model and its inputs, what the program casts down inside (``x.float()``, a softmax
asked for float32) stays in float64, so that the oracle is never as coarse as what it judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Direction, Source
from kernelwright.problems.loading import load_program
from kernelwright.problems.program import Program
from kernelwright.problems.watching import Args, Kwargs, running

_NARROW = frozenset({torch.float32, torch.float16, torch.bfloat16})


def exact_program(
    source: Source,
    constants: Mapping[str, int],
    *,
    device: str = "cpu",
    direction: Direction | None = None,
) -> Program:
    """The program of `source` with every float tensor that it holds in float64."""
    program = load_program(source, constants, device=device, direction=direction)
    program.model.double()
    for module in program.model.modules():
        _widen_attributes(vars(module))
    _widen_attributes(vars(program.module))
    return program


def run_exact(program: Program, inputs: Sequence[Any]) -> tuple[Tensor, ...]:
    """The outputs in float64 (integers and booleans as they are) for `inputs` of any dtype.

    Raises:
        ProblemError: the program cannot run in float64.
    """
    try:
        with in_float64():
            outputs = program.run(widened(inputs))
    except ProblemError as error:
        raise ProblemError(
            f"The reference cannot run in float64, which its answers are checked by ({error}). "
            "Let tensors follow the dtype of the inputs instead of a fixed one."
        ) from error
    return tuple(o.double() if o.is_floating_point() else o for o in outputs)


def widened(inputs: Sequence[Any]) -> list[Any]:
    """`inputs` with every float tensor in float64."""
    return [v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for v in inputs]


@contextmanager
def in_float64() -> Iterator[None]:
    """While this is open, what a program asks of a narrower float comes in float64."""
    with _default_float64(), running(_in_float64):
        yield


def _in_float64(func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Run an operator that may ask for a narrower float."""
    if kwargs.get("dtype") in _NARROW:
        kwargs["dtype"] = torch.float64
    return func(*args, **kwargs)


@contextmanager
def _default_float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _widen_attributes(attributes: dict[str, Any]) -> None:
    """Tensors that are neither parameters nor buffers, which `double` does not reach."""
    for name, value in attributes.items():
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            attributes[name] = _wide(value)
        elif isinstance(value, list) and any(isinstance(v, Tensor) for v in value):
            attributes[name] = [_wide(v) for v in value]


def _wide(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.dtype in _NARROW else value
