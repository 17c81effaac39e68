"""The oracle: the same program in float64.

Besides the model and its inputs, what the program casts down inside (``x.float()``, a softmax
asked for float32) stays in float64, so that the oracle is never as coarse as what it judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from kernelwright.core.errors import ProblemError
from kernelwright.core.problem import Direction, Source
from kernelwright.problems.loading import Program, load_program

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
    with _default_float64(), _InFloat64():  # type: ignore[no-untyped-call]
        yield


class _InFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Any operator that is asked for a narrower float gives float64."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if named.get("dtype") in _NARROW:
            named["dtype"] = torch.float64
        return func(*args, **named)


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
            if value.dtype in _NARROW:
                attributes[name] = value.double()
        elif isinstance(value, list) and any(isinstance(v, Tensor) for v in value):
            attributes[name] = [
                v.double() if isinstance(v, Tensor) and v.dtype in _NARROW else v for v in value
            ]
