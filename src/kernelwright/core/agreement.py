"""What it means for an output to agree with its reference: the comparison.

This is shared by the judge, which compares a candidate's outputs, and by task admission, which
asks whether deliberately wrong outputs would be told apart. How far off an element may be is for
`core.tolerance` to say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kernelwright.core.evaluation import MismatchKind
from kernelwright.core.formats import Array, decode
from kernelwright.core.parts import CHUNK, in_parts
from kernelwright.core.problem import DType
from kernelwright.core.tolerance import Tolerance, sum_of_squares


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What one output must be on one case.

    For floats `values` holds the oracle's float64 output and `tolerance` is set. For integers
    and booleans `values` holds one or more acceptable answers along axis 0 (several where a
    rounding decides between near-ties) and each element must equal one of them. `slack`, for
    floats, is how much further each element may be off, where a rounding decides what it is.
    """

    name: str
    dtype: DType
    values: Array
    tolerance: Tolerance | None = None
    slack: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How one output compares. `kind` is None when it agrees; `worst` is error over tolerance."""

    kind: MismatchKind | None
    matched_ratio: float
    worst: float
    detail: str = ""


def compare(actual: Array, expected: Expected) -> Comparison:
    """Compare an output's raw storage with what it must be.

    `actual` is flat, in `storage_dtype(expected.dtype)`, with as many elements as the output.
    Non-finite values must be the same ones in the same places. There is no share of elements
    that may be wrong.
    """
    if expected.tolerance is None:
        return _compare_exact(actual, expected)
    tally = _Tally(expected.tolerance, expected.slack)
    return _compare_close(decode(actual, expected.dtype), expected.values.ravel(), tally)


def _compare_exact(actual: Array, expected: Expected) -> Comparison:
    answers = expected.values.reshape(len(expected.values), -1)
    if actual.size == 0:
        return Comparison(kind=None, matched_ratio=1.0, worst=0.0)
    right = np.zeros(actual.shape, dtype=bool)
    for answer in answers:
        right |= actual == answer
    if right.all():
        return Comparison(kind=None, matched_ratio=1.0, worst=0.0)
    at = int(np.argmin(right))
    return Comparison(
        kind="wrong_value",
        matched_ratio=float(right.mean()),
        worst=math.inf,
        detail=f"element {at} is {actual[at]}, expected {answers[0][at]}",
    )


@dataclass
class _Tally:
    """What a comparison has seen so far, chunk by chunk, so that memory is read once."""

    limit: Tolerance
    slack: Array | None = None
    wrong: int = 0
    nonfinite: int = 0
    worst: float = 0.0
    worst_at: int = 0
    squares: float = 0.0

    def add(self, start: int, got: Array, want: Array) -> None:
        """Take in the elements from `start` on, as float64."""
        error = self._error(start, got, want)
        square = sum_of_squares(error)
        # A sum is finite only if all its terms are.
        if not math.isfinite(square):
            got, want = self._without_nonfinite(start, got, want)
            error = self._error(start, got, want)
            square = sum_of_squares(error)
        self.squares += square
        self._take_shares(start, np.abs(error, out=error), want)

    def join(self, other: _Tally) -> None:
        """Take in what was seen of elements that come behind these."""
        self.wrong += other.wrong
        self.nonfinite += other.nonfinite
        self.squares += other.squares
        if other.worst > self.worst:
            self.worst, self.worst_at = other.worst, other.worst_at

    def _error(self, start: int, got: Array, want: Array) -> Array:
        """How far `got` is off, beyond what the slack gives."""
        with np.errstate(invalid="ignore"):
            error: Array = got - want
            if self.slack is not None:
                given = self.slack[start : start + error.size]
                error -= np.clip(error, -given, given)
        return error

    def _without_nonfinite(self, start: int, got: Array, want: Array) -> tuple[Array, Array]:
        """Both with zeros where one is not finite; those that differ there are counted."""
        finite = np.isfinite(want)
        same = np.isfinite(got) == finite
        same &= finite | (np.isnan(got) & np.isnan(want)) | (got == want)
        self.nonfinite += int((~same).sum())
        if not same.all() and self.worst != math.inf:
            self.worst, self.worst_at = math.inf, start + int(np.argmin(same))
        both = finite & np.isfinite(got)
        return np.where(both, got, 0.0), np.where(both, want, 0.0)

    def _take_shares(self, start: int, share: Array, want: Array) -> None:
        """`share` holds the errors, and becomes their share of what is allowed."""
        with np.errstate(divide="ignore", invalid="ignore"):
            share /= np.maximum(np.abs(want), self.limit.scale) * self.limit.relative
        peak = float(share.max())
        if not peak <= 1.0:
            # Zero over zero is no error at all.
            np.nan_to_num(share, copy=False, nan=0.0, posinf=math.inf)
            self.wrong += int((share > 1.0).sum())
            peak = float(share.max())
        if peak > self.worst:
            self.worst, self.worst_at = peak, start + int(np.argmax(share))


def _compare_close(actual: Array, exact: Array, tally: _Tally) -> Comparison:
    limit = tally.limit
    if actual.size == 0:
        return Comparison(kind=None, matched_ratio=1.0, worst=0.0)

    def part(begin: int, end: int) -> _Tally:
        found = _Tally(tally.limit, tally.slack)
        for start in range(begin, end, CHUNK):
            chunk = slice(start, min(start + CHUNK, end))
            with np.errstate(invalid="ignore"):  # a signalling NaN is a value like any other here
                got = actual[chunk].astype(np.float64)
            found.add(start, got, exact[chunk])
        return found

    for seen_there in in_parts(actual.size, part):
        tally.join(seen_there)
    matched = 1.0 - (tally.wrong + tally.nonfinite) / actual.size
    found, wanted = float(actual[tally.worst_at]), float(exact[tally.worst_at])
    seen = f"element {tally.worst_at} is {found:.7g}, expected {wanted:.7g}"
    if tally.nonfinite:
        return Comparison(kind="nonfinite", matched_ratio=matched, worst=math.inf, detail=seen)
    if tally.wrong:
        seen += f" (allowed error {max(abs(wanted), limit.scale) * limit.relative:.3g})"
        return Comparison(kind="wrong_value", matched_ratio=matched, worst=tally.worst, detail=seen)
    rms = math.sqrt(tally.squares / actual.size)
    rms_share = rms / limit.rms_limit if limit.rms_limit else math.inf if rms else 0.0
    if rms_share > 1:
        return Comparison(
            kind="precision",
            matched_ratio=matched,
            worst=rms_share,
            detail=f"root mean square error {rms:.3g} is over {limit.rms_limit:.3g}: "
            "the arithmetic is less precise than the reference's",
        )
    return Comparison(kind=None, matched_ratio=1.0, worst=max(tally.worst, rms_share))
