"""What it means for an output to agree with its reference: tolerances and the comparison.

Numbers only; this is shared by the judge, which compares a candidate's outputs, and by task
admission, which asks whether deliberately wrong outputs would be told apart. The protocol is in
``docs/judge.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelwright.core.evaluation import MismatchKind
from kernelwright.core.problem import DType

Array = NDArray[Any]

UNIT_ROUNDOFF: dict[DType, float] = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
    "float8_e4m3fn": 2.0**-4,
    "float8_e5m2": 2.0**-3,
}

# An honest kernel may use another summation order, a polynomial `exp`, or fused multiply-adds;
# each costs a few units in the last place. A down-cast to the next narrower type costs thousands.
FLOOR_ULPS = 8.0
CONFIDENCE = 4.0
# Where a function cancels (the far tail of a GELU), the reference's own error at its worst element
# is many times its usual one; another kernel's may be as large.
PEAK_MARGIN = 2.0
CEILING: dict[DType, float] = {
    "float64": 1e-9,
    "float32": 1e-4,
    "float16": 5e-3,
    "bfloat16": 2e-2,
    "float8_e4m3fn": 1e-1,
    "float8_e5m2": 2e-1,
}
TF32_CEILING = 2e-3
_TF32_UNIT = 2.0**-11  # TensorFloat-32 rounds the operands of products to ten bits
# The step between the smallest numbers of a type, below which nothing can be right to a share.
SMALLEST_STEP: dict[DType, float] = {
    "float64": 2.0**-1074,
    "float32": 2.0**-149,
    "float16": 2.0**-24,
    "bfloat16": 2.0**-133,
    "float8_e4m3fn": 2.0**-9,
    "float8_e5m2": 2.0**-16,
}
# Where roundings could change an element by this share of its size, they decide what it is.
_OPEN = 1e-2
# An output that cancelled further than this is judged as if it had not.
_MOST_CANCELLED = 1024.0

_STORAGE: dict[DType, str] = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2",
    "float8_e4m3fn": "u1", "float8_e5m2": "u1", "int64": "<i8", "int32": "<i4",
    "int16": "<i2", "int8": "i1", "uint8": "u1", "bool": "u1",
}  # fmt: skip
_CHUNK = 1 << 15
_SAMPLE = 1 << 18


def storage_dtype(dtype: DType) -> np.dtype[Any]:
    """The NumPy type whose bytes hold `dtype`; bfloat16 and fp8 are held as unsigned integers."""
    return np.dtype(_STORAGE[dtype])


def is_float(dtype: DType) -> bool:
    """Whether `dtype` is compared with a tolerance; all others are compared exactly."""
    return dtype in UNIT_ROUNDOFF


def _fp8_table(exponent_bits: int, mantissa_bits: int, *, finite_only: bool) -> Array:
    bias = (1 << (exponent_bits - 1)) - 1
    table = np.empty(256)
    for code in range(256):
        sign = -1.0 if code & 0x80 else 1.0
        exponent = (code >> mantissa_bits) & ((1 << exponent_bits) - 1)
        mantissa = code & ((1 << mantissa_bits) - 1)
        top = (1 << exponent_bits) - 1
        if finite_only and (code & 0x7F) == 0x7F:
            table[code] = math.nan
        elif not finite_only and exponent == top:
            table[code] = math.nan if mantissa else sign * math.inf
        elif exponent == 0:
            table[code] = sign * mantissa * 2.0 ** (1 - bias - mantissa_bits)
        else:
            table[code] = sign * (1 + mantissa / 2**mantissa_bits) * 2.0 ** (exponent - bias)
    return table


_FP8 = {
    "float8_e4m3fn": _fp8_table(4, 3, finite_only=True),
    "float8_e5m2": _fp8_table(5, 2, finite_only=False),
}


def decode(raw: Array, dtype: DType) -> Array:
    """The values that `raw`, in `storage_dtype(dtype)`, stands for; floats come as floats.

    >>> decode(np.array([0x3F80], dtype="<u2"), "bfloat16").tolist()
    [1.0]
    """
    if dtype == "bfloat16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    if dtype in _FP8:
        return _FP8[dtype][raw]
    return raw


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an output may be from the float64 oracle.

    Element `i` may be off by `relative * max(|y_i|, scale)`; the root mean square of all errors
    may be `rms_limit`.
    """

    relative: float
    scale: float
    rms_limit: float


def tolerance(
    exact: Array,
    reference: Array,
    dtype: DType,
    *,
    longest_axis: int,
    tf32: bool = False,
    conditioning: float = 0.0,
    moved: Array | None = None,
) -> Tolerance:
    """The tolerance for an output, derived from the reference's own error.

    `exact` is the oracle's float64 output, `reference` the eager output in the task's dtype,
    decoded. `longest_axis` bounds the length of the sums inside: a sum of n terms in another
    order moves by sqrt(n) roundings as a rule, and by n / 2 when they all lean the same way.
    `conditioning` is the size of the terms that went into an element, where they may have
    cancelled: roundings are as large as those terms make them, however small what is left of
    them. `moved` is how far the oracle's elements move when its steps do by a rounding of float32:
    a softmax turns the rounding of a large logit into an error that the reference's own order of
    summation may happen not to have. Non-finite elements do not take part.
    """
    exact, reference = exact.ravel(), reference.ravel()
    rounded = tf32 and dtype == "float32"
    unit = _TF32_UNIT if rounded else UNIT_ROUNDOFF[dtype]
    ceiling = TF32_CEILING if rounded else CEILING[dtype]
    sizes = _sizes(exact, reference)
    if sizes is None:
        return Tolerance(relative=min(CONFIDENCE * unit, ceiling), scale=0.0, rms_limit=0.0)
    scale, rms_error = sizes
    # Sums are kept in float32 at least; only their end is rounded to a narrower type.
    inside = min(1.0, FLOOR_ULPS * UNIT_ROUNDOFF["float32"] / unit)
    scale = max(scale, min(conditioning * inside, _MOST_CANCELLED * scale))
    usual, peak = _shares(exact, reference, scale)
    wide = dtype in ("float64", "float32") and not rounded
    floor = FLOOR_ULPS * unit if wide else unit
    # Terms of one sign and size, added one by one, all round the same way: up to n / 2 roundings.
    # A softmax's gradient divides by one such sum and takes another one off.
    summing = unit * longest_axis if wide else 0.0
    relative = max(CONFIDENCE * max(usual, floor), PEAK_MARGIN * peak, summing)
    rms = 2 * rms_error + (4 * unit if wide else unit) * scale
    # A whole output may lean the same way by as much as a reordered sum does.
    rms += summing / 4 * scale
    if moved is not None and dtype != "float64":
        usual, rms_moved = _moves(exact, moved, scale)
        relative = max(relative, passed_on(longest_axis) * usual)
        rms = max(rms, passed_on(longest_axis) / 4 * rms_moved)
    # Each term of a sum may be rounded to a whole step.
    step = SMALLEST_STEP[dtype] * math.sqrt(longest_axis)
    relative = min(relative, ceiling)
    return Tolerance(
        relative=relative,
        scale=max(scale, 2 * step / relative),
        rms_limit=max(min(rms, ceiling * scale), step),
    )


def passed_on(longest_axis: int) -> float:
    """How many times as far as by one rounding of each step a kernel's own roundings may move an
    element: those of a sum of n terms add up to sqrt(n) of them, and the peak is over many."""
    return max(CONFIDENCE, 2 * math.sqrt(longest_axis))


def steep(
    exact: Array, moved: Array, limit: Tolerance, dtype: DType, *, longest_axis: int
) -> Array | None:
    """What each element may be off by beyond `limit`, where roundings move it half as
    far as that and further (a softmax whose two largest logits nearly tie); None where nowhere.

    An element that they move by as much as a share `_OPEN` of its size may be anything.
    """
    if dtype == "float64" or not exact.size:
        return None
    exact, moved, far = exact.ravel(), moved.ravel(), passed_on(longest_axis)
    slack: Array | None = None
    for start in range(0, exact.size, _CHUNK):  # most outputs need none, and chunks fit the cache
        part = slice(start, start + _CHUNK)
        reach = far * moved[part]
        with np.errstate(invalid="ignore"):
            size = np.maximum(np.abs(exact[part]), limit.scale)
            beyond = (reach > limit.relative * size / 2) & np.isfinite(reach)
        if beyond.any():
            slack = np.zeros(exact.size) if slack is None else slack
            slack[part] = np.where(beyond, np.where(reach > _OPEN * size, math.inf, reach), 0.0)
    return slack


def _squares(values: Array) -> float:
    """The sum of squares. Not by ``@``: a BLAS would start its threads for every chunk."""
    return float(np.einsum("i,i->", values, values))


def _finite_chunks(exact: Array, reference: Array) -> Iterator[tuple[Array, Array]]:
    """Exact values and the reference's errors, where both are finite; chunks fit the cache."""
    for start in range(0, exact.size, _CHUNK):
        want = exact[start : start + _CHUNK]
        with np.errstate(invalid="ignore"):
            error = reference[start : start + _CHUNK] - want
        # A sum is finite only if all its terms are.
        if not math.isfinite(_squares(error)):
            finite = np.isfinite(error)
            want, error = want[finite], error[finite]
        yield want, error


def _sizes(exact: Array, other: Array) -> tuple[float, float] | None:
    """The root mean squares of `exact` and of how far `other` is from it, where both are finite;
    None where nothing is."""
    count, squares, wrong = 0, 0.0, 0.0
    for want, error in _finite_chunks(exact, other):
        count += want.size
        squares += _squares(want)
        wrong += _squares(error)
    return (math.sqrt(squares / count), math.sqrt(wrong / count)) if count else None


def _moves(exact: Array, moved: Array, scale: float) -> tuple[float, float]:
    """What elements that move by `moved` usually move by, as a share of their size, and the root
    mean square of it."""
    other = exact + moved.ravel()
    _, rms_moved = _sizes(exact, other) or (0.0, 0.0)
    return _shares(exact, other, scale)[0], rms_moved


def _shares(exact: Array, reference: Array, scale: float) -> tuple[float, float]:
    """The 99.9% quantile (over a sample) and the peak of the errors as shares of their size."""
    step = max(1, exact.size // _SAMPLE)
    peak, sample = 0.0, []
    for want, error in _finite_chunks(exact, reference):
        size = np.maximum(np.abs(want), scale or 1.0)
        share = np.abs(error) / size
        peak = max(peak, float(share.max(initial=0.0)))
        sample.append(share[::step])
    shares = np.concatenate(sample) if sample else np.empty(0)
    return (float(np.quantile(shares, 0.999)) if shares.size else 0.0), peak


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
        square = _squares(error)
        # A sum is finite only if all its terms are.
        if not math.isfinite(square):
            got, want = self._without_nonfinite(start, got, want)
            error = self._error(start, got, want)
            square = _squares(error)
        self.squares += square
        self._take_shares(start, np.abs(error, out=error), want)

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
    for start in range(0, actual.size, _CHUNK):
        with np.errstate(invalid="ignore"):  # a signalling NaN is a value like any other here
            got = actual[start : start + _CHUNK].astype(np.float64)
        tally.add(start, got, exact[start : start + _CHUNK])
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
