"""How far an output may be from what it must be, derived from the reference's own error.

Numbers only. The protocol is in ``docs/judge.md``; the comparison is in `core.agreement`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kernelwright.core.formats import SMALLEST_STEP, UNIT_ROUNDOFF, Array
from kernelwright.core.parts import CHUNK, in_parts
from kernelwright.core.problem import DType

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
# Where roundings could change an element by this share of its size, they decide what it is.
_OPEN = 1e-2
# An output that cancelled further than this is judged as if it had not.
_MOST_CANCELLED = 1024.0

_SAMPLE = 1 << 18
_NEIGHBOURS = 32  # elements that lie together, and so mostly in one row; a chunk has whole groups


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
    unit, ceiling, wide = _precision(dtype, tf32=tf32)
    sizes = _sizes(exact, reference)
    if sizes is None:
        return Tolerance(relative=min(CONFIDENCE * unit, ceiling), scale=0.0, rms_limit=0.0)
    scale, rms_error = sizes
    scale = max(scale, min(conditioning * _inside(unit), _MOST_CANCELLED * scale))
    usual, peak = _shares(exact, reference, scale)
    floor = FLOOR_ULPS * unit if wide else unit
    # Terms of one sign and size, added one by one, all round the same way: up to n / 2 roundings.
    # A softmax's gradient divides by one such sum and takes another one off.
    summing = unit * longest_axis if wide else 0.0
    relative = max(CONFIDENCE * max(usual, floor), PEAK_MARGIN * peak, summing)
    # A whole output may lean the same way by as much as a reordered sum does, and where all its
    # elements are made of the same values, all are off by the same: by up to n / 2 roundings.
    rms = 2 * rms_error + (floor + summing / 2) * scale
    if moved is not None and dtype != "float64":
        usual, rms_moved = _moves(exact, moved, scale)
        relative = max(relative, passed_on(longest_axis) * usual)
        rms = max(rms, passed_on(longest_axis) / 4 * rms_moved)
    relative = min(relative, ceiling)
    # Each term of a sum may be rounded to a whole step.
    step = SMALLEST_STEP[dtype] * math.sqrt(longest_axis)
    return Tolerance(
        relative=relative,
        scale=max(scale, 2 * step / relative),
        rms_limit=max(min(rms, ceiling * scale), step),
    )


def _precision(dtype: DType, *, tf32: bool) -> tuple[float, float, bool]:
    """The unit of roundoff, the ceiling of the tolerance, and whether sums are as wide as the
    outputs, so that their length counts."""
    if tf32 and dtype == "float32":
        return _TF32_UNIT, TF32_CEILING, False
    return UNIT_ROUNDOFF[dtype], CEILING[dtype], dtype in ("float64", "float32")


def _inside(unit: float) -> float:
    """What roundings inside a sum are of those at its end, which alone may be to a narrower type
    than float32."""
    return min(1.0, FLOOR_ULPS * UNIT_ROUNDOFF["float32"] / unit)


def passed_on(longest_axis: int) -> float:
    """How many times as far as by one rounding of each step a kernel's own roundings may move an
    element: those of a sum of n terms add up to sqrt(n) of them, and the peak is over many."""
    return max(CONFIDENCE, 2 * math.sqrt(longest_axis))


def steep(
    exact: Array, moved: Array, limit: Tolerance, dtype: DType, *, longest_axis: int
) -> Array | None:
    """What each element may be off by beyond `limit`, where roundings move it half as
    far as that and further (a softmax whose two largest logits nearly tie); None where nowhere.

    An element that they move by as much as a share `_OPEN` of its size may be anything. Where the
    limit is at its ceiling most elements need this, also those that one draw of roundings happened
    to leave where they are: each counts as moved as far as its neighbours usually are.
    """
    if dtype == "float64" or not exact.size:
        return None
    exact, moved, far = exact.ravel(), moved.ravel(), passed_on(longest_axis)
    at_ceiling = limit.relative >= CEILING[dtype]
    slack = np.zeros(exact.size)  # of which no page is touched where there is none

    def part(begin: int, end: int) -> bool:
        return sum(chunk(slice(start, start + CHUNK)) for start in range(begin, end, CHUNK)) > 0

    def chunk(part: slice) -> bool:
        """Fill in one chunk, as most outputs need none; whether some element there has any."""
        reach = far * (_smoothed(moved[part]) if at_ceiling else moved[part])
        with np.errstate(invalid="ignore"):
            size = np.maximum(np.abs(exact[part]), limit.scale)
            beyond = (reach > limit.relative * size / 2) & np.isfinite(reach)
        if not beyond.any():
            return False
        slack[part] = np.where(beyond, np.where(reach > _OPEN * size, math.inf, reach), 0.0)
        return True

    return slack if any(in_parts(exact.size, part)) else None


def _smoothed(moved: Array) -> Array:
    """`moved`, and no less than the median of the elements that lie next to each."""
    whole = moved.size - moved.size % _NEIGHBOURS
    usual = np.median(moved[:whole].reshape(-1, _NEIGHBOURS), axis=1)
    found = moved.copy()
    found[:whole] = np.fmax(moved[:whole], np.repeat(usual, _NEIGHBOURS))
    if whole < moved.size:
        found[whole:] = np.fmax(moved[whole:], np.median(moved[-_NEIGHBOURS:]))
    return found


def sum_of_squares(values: Array) -> float:
    """The sum of squares. Not by ``@``: a BLAS would start its threads for every chunk."""
    return float(np.einsum("i,i->", values, values))


def _finite_chunks(
    exact: Array, reference: Array, begin: int, end: int, *, added: bool = False
) -> Iterator[tuple[Array, Array]]:
    """Exact values and the reference's errors, where both are finite, from `begin` up to `end`;
    chunks fit the cache. With `added` the `reference` is what was added to the exact values."""
    for start in range(begin, end, CHUNK):
        part = slice(start, min(start + CHUNK, end))
        want = exact[part]
        with np.errstate(invalid="ignore"):
            other = want + reference[part] if added else reference[part]
            error = other - want
        # A sum is finite only if all its terms are.
        if not math.isfinite(sum_of_squares(error)):
            finite = np.isfinite(error)
            want, error = want[finite], error[finite]
        yield want, error


def _sizes(exact: Array, other: Array, *, added: bool = False) -> tuple[float, float] | None:
    """The root mean squares of `exact` and of how far `other` is from it, where both are finite;
    None where nothing is."""

    def part(begin: int, end: int) -> tuple[int, float, float]:
        count, squares, wrong = 0, 0.0, 0.0
        for want, error in _finite_chunks(exact, other, begin, end, added=added):
            count += want.size
            squares += sum_of_squares(want)
            wrong += sum_of_squares(error)
        return count, squares, wrong

    found = in_parts(exact.size, part)
    count = sum(one[0] for one in found)
    if not count:
        return None
    return math.sqrt(sum(f[1] for f in found) / count), math.sqrt(sum(f[2] for f in found) / count)


def _moves(exact: Array, moved: Array, scale: float) -> tuple[float, float]:
    """What elements that move by `moved` usually move by, as a share of their size, and the root
    mean square of it."""
    moved = moved.ravel()
    _, rms_moved = _sizes(exact, moved, added=True) or (0.0, 0.0)
    return _shares(exact, moved, scale, added=True)[0], rms_moved


def _shares(
    exact: Array, reference: Array, scale: float, *, added: bool = False
) -> tuple[float, float]:
    """The 99.9% quantile (over a sample) and the peak of the errors as shares of their size."""
    step = max(1, exact.size // _SAMPLE)

    def part(begin: int, end: int) -> tuple[float, list[Array]]:
        peak, sample = 0.0, []
        for want, error in _finite_chunks(exact, reference, begin, end, added=added):
            share = np.abs(error) / np.maximum(np.abs(want), scale or 1.0)
            peak = max(peak, float(share.max(initial=0.0)))
            sample.append(share[::step])
        return peak, sample

    found = in_parts(exact.size, part)
    sample = [share for _, shares in found for share in shares]
    shares = np.concatenate(sample) if sample else np.empty(0)
    peak = max((one for one, _ in found), default=0.0)
    return (float(np.quantile(shares, 0.999)) if shares.size else 0.0), peak
