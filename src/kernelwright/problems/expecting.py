"""What the outputs of one case must be, and how far each element may be off.

What is right is what the float64 program gives; how far off one may be comes from the eager
program's own error (`core.tolerance`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from kernelwright.core.agreement import Expected
from kernelwright.core.errors import ProblemError
from kernelwright.core.formats import Array, decode
from kernelwright.core.tolerance import Tolerance, steep, tolerance
from kernelwright.problems.dtypes import DTYPES, raw
from kernelwright.problems.exact import run_exact
from kernelwright.problems.kinks import with_slack
from kernelwright.problems.perturbed import conditioning, moved_by_roundings, nearby
from kernelwright.problems.twins import Twins, Values

_NEAR_TIES = 3


def expected_outputs(
    twins: Twins,
    values: Values,
    eager: Sequence[Tensor],
    names: Sequence[str],
    seed: int,
    *,
    ties_are_real: bool,
    tf32: bool,
) -> tuple[Expected, ...]:
    """What the outputs called `names` must be for `values`, for which `eager` are the eager ones.

    Unless `ties_are_real`, an index may also be what inputs moved by a rounding give: values that
    are equal may then be so by chance.

    Raises:
        ProblemError: the reference cannot run in float64.
    """
    inputs = twins.exact.take(values)
    exact = run_exact(twins.exact, inputs)
    if [o.shape for o in exact] != [o.shape for o in eager]:
        raise ProblemError("The reference's outputs have other shapes in float64 than otherwise.")
    answers = [exact, tuple(eager)]
    if not ties_are_real and not all(o.is_floating_point() for o in eager):
        answers += [nearby(twins.exact, inputs, seed, turn) for turn in range(_NEAR_TIES)]
    sizes = conditioning(twins.exact, inputs, exact, seed)
    moves = moved_by_roundings(twins.exact, inputs, exact, seed, few_bits=ties_are_real)
    terms = twins.longest_sum or 1
    floats = {
        at: _Float(exact[at], output, moves[at], terms, sizes[at], tf32)
        for at, output in enumerate(eager)
        if output.is_floating_point()
    }
    found = [
        floats[at].expected(name) if at in floats else _one_of(name, [a[at] for a in answers])
        for at, name in enumerate(names)
    ]
    if twins.eager.gradients is None or not twins.has_corners(values):
        return tuple(found)
    return with_slack(twins.exact, inputs, found, lambda at, sure: floats[at].tolerance(sure), seed)


class _Float:
    """A float output of both programs, flat, and what else its tolerance follows from. `moved` says
    how far roundings of the inputs move its elements."""

    def __init__(
        self,
        exact: Tensor,
        eager: Tensor,
        moved: Tensor,
        longest_sum: int,
        conditioning: float,
        tf32: bool,
    ) -> None:
        self._dtype = DTYPES[eager.dtype]
        self._exact, self._moved = raw(exact), raw(moved)
        self._eager = decode(raw(eager), self._dtype)
        self._longest_sum, self._conditioning, self._tf32 = longest_sum, conditioning, tf32

    def expected(self, name: str) -> Expected:
        """What this output must be, under its `name`."""
        limit = self.tolerance()
        return Expected(
            name=name,
            dtype=self._dtype,
            values=self._exact,
            tolerance=limit,
            slack=steep(
                self._exact, self._moved, limit, self._dtype, longest_axis=self._longest_sum
            ),
        )

    def tolerance(self, which: Array | slice = slice(None)) -> Tolerance:
        """The tolerance that follows from the elements `which`, a mask."""
        return tolerance(
            self._exact[which],
            self._eager[which],
            self._dtype,
            longest_axis=self._longest_sum,
            tf32=self._tf32,
            conditioning=self._conditioning,
            moved=self._moved[which],
        )


def _one_of(name: str, answers: Sequence[Tensor]) -> Expected:
    """An output that must be one of `answers`, the second of which is the eager one."""
    dtype = answers[1].dtype
    right = _distinct([raw(answer.to(dtype)) for answer in answers])
    return Expected(name=name, dtype=DTYPES[dtype], values=right)


def _distinct(answers: Sequence[Array]) -> Array:
    kept: list[Array] = []
    for answer in answers:
        if not any(np.array_equal(answer, other) for other in kept):
            kept.append(answer)
    return np.stack(kept)
