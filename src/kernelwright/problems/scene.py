"""A scene: one case with what a wrong program needs to be made from it. For `mutants`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from kernelwright.core.agreement import Expected, compare
from kernelwright.core.errors import ProblemError
from kernelwright.core.formats import Array
from kernelwright.core.problem import TensorSpec
from kernelwright.problems.dtypes import TORCH_DTYPES, raw
from kernelwright.problems.exact import run_exact
from kernelwright.problems.oracle import Answer
from kernelwright.problems.rewriting import rewriting
from kernelwright.problems.twins import Twins, Values

Outputs = tuple[Tensor, ...]

_FIRST_LOOK = 1 << 16
# Below this share of its scale, a change of the float64 output is only rounding: the input does
# not enter the result (a bias before a batch mean is subtracted, say).
_NO_EFFECT = 1e-12


class NotApplicable(Exception):
    """This mutant makes no sense for this problem or case; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One case, what the program takes and gives from another seed, and the outputs of the call
    before this one."""

    twins: Twins
    specs: tuple[TensorSpec, ...]
    answer: Answer
    other_values: Values
    other_outputs: Outputs
    previous: Outputs

    @property
    def eager(self) -> Outputs:
        """The right outputs in the problem's own types."""
        return self.answer.eager

    @cached_property
    def can_be_rewritten(self) -> bool:
        """Whether the program stays right when it is taken apart into smaller operators."""
        try:
            with rewriting():
                return self.passes(self.run(self.answer.values))
        except ProblemError:
            return False

    def run(self, values: Values) -> Outputs:
        """What the program gives for other `values`."""
        return self.twins.run(values)

    def run_exactly(self, values: Values) -> Outputs:
        """The same in float64."""
        return run_exact(self.twins.exact, self.twins.exact.take(values))

    def passes(self, outputs: Outputs) -> bool:
        """Whether the judge would take `outputs` for right."""
        pairs = zip(outputs, self.answer.expected, strict=True)
        return all(agrees(output, expected) for output, expected in pairs)

    def has_effect(self, outputs: Outputs) -> bool:
        """Whether float64 `outputs` are off by more than rounding."""
        pairs = zip(outputs, self.answer.expected, strict=True)
        return any(_differs(output, expected) for output, expected in pairs)


Make = Callable[[Scene], Outputs]


def agrees(output: Tensor, expected: Expected) -> bool:
    """As `compare`, but most wrong outputs are told from their first elements."""
    stored = raw(output)
    if expected.tolerance is not None and stored.size > _FIRST_LOOK:
        start = Expected(
            name=expected.name, dtype=expected.dtype, tolerance=expected.tolerance,
            values=expected.values[:_FIRST_LOOK],
            slack=None if expected.slack is None else expected.slack[:_FIRST_LOOK],
        )  # fmt: skip
        if compare(stored[:_FIRST_LOOK], start).kind == "wrong_value":
            return False
    return compare(stored, expected).kind is None


def allowed(expected: Expected) -> Array:
    """How far each element of a float output may be off, flat."""
    limit = expected.tolerance
    assert limit is not None
    sizes: Array = torch.from_numpy(expected.values).abs().clamp_min(limit.scale).numpy()
    most: Array = sizes * limit.relative
    return most if expected.slack is None else most + expected.slack


def _differs(output: Tensor, expected: Expected) -> bool:
    if expected.tolerance is None:
        now = raw(output.to(TORCH_DTYPES[expected.dtype]))
        return not any((now == answer).all() for answer in _answers(expected))
    gap = (output.detach().cpu().reshape(-1) - torch.from_numpy(expected.values)).abs()
    gap = gap[torch.isfinite(gap)]
    limit = _NO_EFFECT * max(expected.tolerance.scale, 1e-300)
    return bool(gap.numel()) and float(gap.max()) > limit


def _answers(expected: Expected) -> Sequence[Array]:
    return [answer.ravel() for answer in expected.values]
