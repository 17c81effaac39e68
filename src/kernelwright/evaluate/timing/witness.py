"""A witness to timed calls on a GPU of which nobody knows beforehand what they must give.

Eager mode makes the same call on the same inputs, and words of both outputs are compared. That is
no judgement of precision, which other stages judge: it is whether the work was done at all. Outputs
that are no floating-point numbers are not asked about, since an index may be another where values
are equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelwright.core.errors import WorkerError
from kernelwright.core.evaluation import Mismatch
from kernelwright.core.formats import Array, decode, storage_dtype
from kernelwright.core.problem import DType, Problem
from kernelwright.evaluate.timing.baseline import SUBJECTS, Baseline
from kernelwright.evaluate.timing.keeper import Keeper
from kernelwright.evaluate.timing.script import Words

# An element agrees when it is off by this share of its size, or of what the elements usually are.
_OFF = 0.05
# The share of the elements that must agree. Roundings may decide a few.
_AGREEING = 0.9


@dataclass(frozen=True)
class Witness:
    """Eager mode, asked about calls that the candidate has made."""

    problem: Problem
    keeper: Keeper
    baseline: Baseline

    @property
    def can_tell(self) -> bool:
        """Whether there is an output that it can say something about."""
        return bool(self._floats())

    def _floats(self) -> list[tuple[int, DType]]:
        return [
            (number, spec.dtype)
            for number, spec in enumerate(self.problem.outputs)
            if spec.dtype.startswith(("float", "bfloat"))
            and spec.nbytes(self.problem.report_workload.axes) >= 4
        ]

    def about(self, first: int, slot: int, *, opened: bool) -> Mismatch | None:
        """What is wrong with the outputs of a candidate's call in `slot`, of a block that began at
        `first`.

        Raises:
            WorkerError: the baselines' process broke.
        """
        said = self.baseline.called(SUBJECTS[0], slot)
        try:
            if not self.keeper.open_rival(said, slot):
                raise WorkerError("The outputs of eager mode cannot be read.")
            for number, dtype in self._floats():
                ours, theirs = self.keeper.words(first, slot, number, opened=opened)
                agreeing = agreement(ours, theirs, dtype)
                if agreeing < _AGREEING:
                    return self._mismatch(number, agreeing)
        finally:
            self.keeper.flush()
            self.baseline.collect()
        return None

    def _mismatch(self, number: int, agreeing: float) -> Mismatch:
        workload = self.problem.report_workload
        return Mismatch(
            workload_id=workload.id, split=workload.split, distribution="file",
            output=self.problem.outputs[number].name, kind="wrong_value", matched_ratio=agreeing,
            detail=f"in a timed call {1 - agreeing:.0%} of its elements are not what eager mode "
            "gives for the same inputs",
        )  # fmt: skip


def agreement(ours: Words, theirs: Words, dtype: DType) -> float:
    """The share of elements that agree."""
    mine, right = _numbers(ours, dtype), _numbers(theirs, dtype)
    finite = np.isfinite(right)
    scale = float(np.sqrt(np.mean(np.square(right[finite])))) if finite.any() else 0.0
    with np.errstate(invalid="ignore"):
        near = np.abs(mine - right) <= _OFF * np.maximum(np.abs(right), scale)
        same = (mine == right) | (np.isnan(mine) & np.isnan(right))
    return float(np.mean(np.where(finite, near, same)))


def _numbers(words: Words, dtype: DType) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(decode(words.view(storage_dtype(dtype)), dtype), np.float64)
