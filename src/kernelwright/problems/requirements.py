"""What the cases of a problem must have besides killing mutants.

Every input moves the outputs by far more than the tolerance, outputs vary by far more than it in
every direction, and the reference itself uses up no more than half of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kernelwright.core.agreement import Expected
from kernelwright.core.errors import ProblemError
from kernelwright.core.formats import Array, decode, is_float
from kernelwright.core.problem import Problem
from kernelwright.problems.admission import Requirement
from kernelwright.problems.distributions import generator
from kernelwright.problems.dtypes import raw
from kernelwright.problems.oracle import ROOM, Answer
from kernelwright.problems.scene import Outputs, Scene, allowed

FAR = 10.0
# By how much an input is moved, as a share of its size: to a narrow type a tenth is little.
_MOVE, _NARROW_MOVE = 0.1, 1.0
_WIDE = frozenset({torch.float32, torch.float64})
_SEED = 1


def sensitivity(problem: Problem, scene: Scene) -> Iterator[Requirement]:
    """Each input and weight moves the outputs when it moves by a tenth of its size; where it has 16
    bits or fewer, by its own size."""
    for spec in problem.inputs:
        yield _sensitivity(scene, spec.name)


def _sensitivity(scene: Scene, name: str) -> Requirement:
    title = f"sensitivity to {name}"
    changed = {**scene.answer.values, name: _perturbed(scene, name)}
    try:
        moved = _movement(scene, scene.run(changed))
        if moved <= FAR and not scene.has_effect(scene.run_exactly(changed)):
            reason = f"the result does not depend on {name}"
            return Requirement(name=title, status="not_applicable", reason=reason)
    except ProblemError:
        reason = f"the reference does not run when {name} moves"
        return Requirement(name=title, status="not_applicable", reason=reason)
    return Requirement(
        name=title,
        status="met" if moved > FAR else "missed",
        reason=f"outputs move by {moved:.3g} times what they may be off",
    )


def _perturbed(scene: Scene, name: str) -> object:
    """The input a share of its size off; integers and numbers are those of another case."""
    value = scene.answer.values[name]
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return scene.other_values[name]
    wide, move = value.double(), _MOVE if value.dtype in _WIDE else _NARROW_MOVE
    noise = torch.empty_like(wide).uniform_(-1, 1, generator=generator(_SEED, "moved", name))
    return (wide * (1 + move * noise)).to(value.dtype)


def _movement(scene: Scene, outputs: Outputs) -> float:
    """The largest change of an output element, as a multiple of what it may be off."""
    pairs = zip(scene.eager, outputs, scene.answer.expected, strict=True)
    return max(_moved(before, after, expected) for before, after, expected in pairs)


def _moved(before: Tensor, after: Tensor, expected: Expected) -> float:
    if expected.tolerance is None:
        return float("inf") if not torch.equal(before, after) else 0.0
    gap = np.abs(_decoded(after, expected) - _decoded(before, expected))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = gap / allowed(expected)
    return float(np.max(share, initial=0.0, where=np.isfinite(share)))


def _decoded(output: Tensor, expected: Expected) -> Array:
    values: Array = decode(raw(output), expected.dtype).astype(np.float64)
    return values


def variation(problem: Problem, answer: Answer) -> Iterator[Requirement]:
    """Each output spreads as a whole, and along each axis."""
    for spec, right, expected in zip(problem.outputs, answer.eager, answer.expected, strict=True):
        title = f"variation of {spec.name}"
        if right.numel() < 2:
            reason = "it has one element"
            yield Requirement(name=title, status="not_applicable", reason=reason)
            continue
        spread, where = _least_spread(right, expected)
        yield Requirement(
            name=title,
            status="met" if spread > FAR else "missed",
            reason=f"its deviation {where} is {spread:.3g} times what an element may be off",
        )


def _least_spread(right: Tensor, expected: Expected) -> tuple[float, str]:
    values = right.double()
    values = torch.where(torch.isfinite(values), values, 0.0)
    unit = 1.0 / FAR / FAR  # an index counts as moved when it moves by a hundredth
    if is_float(expected.dtype):
        unit = max(float(np.median(allowed(expected))), 1e-300)
    found = [(float(values.std()) / unit, "as a whole")]
    for axis, size in enumerate(right.shape):
        if size > 1:
            along = float(values.std(dim=axis).mean())
            found.append((along / unit, f"along axis {axis}"))
    return min(found)


@dataclass(frozen=True)
class Use:
    """The largest share of a tolerance that the reference used up on one case, and which case."""

    share: float
    case: str


def use(answer: Answer) -> Use:
    """How much of its tolerance the reference's own arithmetic uses on a case."""
    share = max(c.worst for c in answer.comparisons)
    return Use(share, f"{answer.workload_id}, {answer.distribution}")


def margin(uses: Sequence[Use]) -> Requirement:
    """The reference leaves room for another kernel's errors on all cases."""
    worst = max(uses, key=lambda one: one.share)
    return Requirement(
        name="the reference's own error",
        status="met" if worst.share <= ROOM else "missed",
        reason=f"at most {worst.share:.0%} of what is allowed, over {len(uses)} cases "
        f"(at {worst.case})",
    )
