"""How much of its inputs a call reaches: what has a gradient, decides something of what comes out.

That of a gather has one for the rows that were picked, that of a mask for what was let through. An
element without one may decide something too (all but the largest, of a maximum), so this is what
any kernel must read at least. For worker processes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernelwright.core.errors import ProblemError
from kernelwright.problems.program import Program


def reached_bytes(program: Program, inputs: Sequence[Any]) -> int:
    """The bytes of `inputs`, in a call's order, and of the weights that have a gradient; 0 when
    there is none to be had, by the kind of the program or for want of memory."""
    given = [_followed(value) for value in inputs]
    followed = [v for v in given if isinstance(v, Tensor) and v.requires_grad]
    # The weights that a call uses are the model's own, and keep what the file said of them.
    weights = {v: v.requires_grad for v in program.variables().values() if _has_gradient(v)}
    try:
        for weight in weights:
            weight.requires_grad_(True)
        return sum(map(_nbytes, _gradients(program, given, [*followed, *weights])))
    except (RuntimeError, ProblemError):
        return 0
    finally:
        for weight, before in weights.items():
            weight.requires_grad_(before)


def _gradients(
    program: Program, given: Sequence[Any], of: Sequence[Tensor]
) -> Sequence[Tensor | None]:
    with torch.enable_grad():
        outputs = [output for output in program.forward(given) if output.requires_grad]
    if not outputs or not of:
        return []
    # Positive and of no pattern, so that what comes from several places does not cancel.
    cotangents = [torch.rand_like(output) + 1 for output in outputs]
    return torch.autograd.grad(outputs, of, cotangents, allow_unused=True)


def _nbytes(gradient: Tensor | None) -> int:
    if gradient is None or gradient.layout != torch.strided:
        return 0
    return int(torch.count_nonzero(gradient)) * gradient.element_size()


def _followed(value: Any) -> Any:
    if isinstance(value, Tensor) and _has_gradient(value):
        return value.detach().requires_grad_(True)
    return value


def _has_gradient(value: Tensor) -> bool:
    return value.is_floating_point() and value.is_leaf
