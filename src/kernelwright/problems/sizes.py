"""Which numbers of a program follow from the sizes of its axes, and how.

A program traced at one set of sizes is full of bare numbers. Traced at several, a number that
stayed is a constant, and one that moved is explained here by the axes that moved with it.
Numbers only: `problems.tracing` makes the traces.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from kernelwright.core.graph import Extent, Unexplained
from kernelwright.core.problem import Problem, Workload

Sizes = Sequence[Mapping[str, int]]

_MOST_FACTORS = 3
_LARGEST_DENOMINATOR = 64
_POWERS = (1.0, -1.0, -0.5, 0.5, -0.25, 0.25)


def explain(values: Sequence[int | float], sizes: Sizes) -> int | float | Extent | Unexplained:
    """What `values`, one number seen in each trace, is in terms of the axes' `sizes` there.

    The simplest explanation wins: a constant, an axis, a multiple or a part of one, a product of
    up to three, an axis divided by another in such a product, one of these and an offset; for a
    float also the inverse and roots of these.

    >>> explain([14, 26], [{"dim": 7}, {"dim": 13}])
    Extent(axes=('dim',), numerator=2, denominator=1, offset=0, power=1.0, over=())
    >>> explain([5, 5], [{"dim": 7}, {"dim": 13}])
    5
    """
    if all(v == values[0] or (v != v and values[0] != values[0]) for v in values):
        return values[0]
    whole = all(isinstance(v, int) for v in values)
    found = list[Extent]()
    for power in (1.0,) if whole else _POWERS:
        bases = _bases(values, power)
        base = None if bases is None else _explain_bases(bases, sizes)
        if base is not None:
            found.append(base.model_copy(update={"power": power}))
    if found:
        return min(found, key=_simplicity)
    return Unexplained(seen=tuple(float(v) for v in values))


def _bases(values: Sequence[int | float], power: float) -> list[Fraction] | None:
    """The rational numbers that `values` are the `power` of; None if they are not."""
    found = []
    for value in values:
        if not math.isfinite(value) or value <= 0:
            return None
        exact = float(value) ** (1 / power)
        near = Fraction(exact).limit_denominator(_LARGEST_DENOMINATOR)
        if near <= 0 or not math.isclose(near, exact, rel_tol=1e-12 if power == 1.0 else 1e-6):
            return None
        found.append(near)
    return found


def _explain_bases(bases: Sequence[Fraction], sizes: Sizes) -> Extent | None:
    found = (
        list(_multiples(bases, sizes))
        or list(_quotients(bases, sizes))
        or list(_shifted(bases, sizes))
        or list(_affine(bases, sizes))
    )
    return min(found, key=_simplicity) if found else None


def _simplicity(extent: Extent) -> tuple[int, int, int]:
    """Fewer axes first, then smaller numbers."""
    return len(extent.axes + extent.over), extent.numerator + extent.denominator, abs(extent.offset)


def _monomials(sizes: Sizes) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    """Every product of a few axes, with its value in each trace. Axes that never move are left
    out: a constant says the same."""
    moving = [a for a in sizes[0] if len({s[a] for s in sizes}) > 1]
    for count in range(1, _MOST_FACTORS + 1):
        for axes in itertools.combinations_with_replacement(moving, count):
            yield axes, [math.prod(s[a] for a in axes) for s in sizes]


def _multiples(bases: Sequence[Fraction], sizes: Sizes) -> Iterator[Extent]:
    for axes, products in _monomials(sizes):
        ratios = {base / product for base, product in zip(bases, products, strict=True)}
        if len(ratios) == 1 and (ratio := ratios.pop()).denominator <= _LARGEST_DENOMINATOR:
            yield Extent(axes=axes, numerator=ratio.numerator, denominator=ratio.denominator)


def _quotients(bases: Sequence[Fraction], sizes: Sizes) -> Iterator[Extent]:
    """What an axis has for each of another, such as query heads for a head of keys, times others.
    It must come out even in every trace."""
    for axes, products in _monomials(sizes):
        for place, divided in enumerate(axes):
            for by in sizes[0]:
                if by in axes or any(s[divided] % s[by] for s in sizes):
                    continue
                if all(b * s[by] == p for b, p, s in zip(bases, products, sizes, strict=True)):
                    others = axes[:place] + axes[place + 1 :]
                    yield Extent(axes=(divided, *others), over=(by,))


def _shifted(bases: Sequence[Fraction], sizes: Sizes) -> Iterator[Extent]:
    for axes, products in _monomials(sizes):
        offsets = {base - product for base, product in zip(bases, products, strict=True)}
        if len(offsets) == 1 and (offset := offsets.pop()).denominator == 1:
            yield Extent(axes=axes, offset=int(offset))


def _affine(bases: Sequence[Fraction], sizes: Sizes) -> Iterator[Extent]:
    """A part of a product and an offset; only three traces can tell that from chance."""
    if len(bases) < 3:
        return
    for axes, products in _monomials(sizes):
        if products[0] == products[1]:
            continue
        ratio = (bases[1] - bases[0]) / (products[1] - products[0])
        offsets = {base - ratio * product for base, product in zip(bases, products, strict=True)}
        if len(offsets) == 1 and (offset := offsets.pop()).denominator == 1 and ratio > 0:
            yield Extent(
                axes=axes,
                numerator=ratio.numerator,
                denominator=ratio.denominator,
                offset=int(offset),
            )


def pick_trace_workloads(problem: Problem, most: int = 3) -> tuple[Workload, ...]:
    """Up to `most` of the problem's workloads, under which the axes are best told apart.

    Small ones, and none with a size or a constant of the file of one if that can be had, since a
    program treats that as a special case: with one head in a group there is nothing to repeat.
    """
    known = sorted(problem.workloads, key=lambda w: math.prod(w.axes.values()))[:12]
    choices = [
        chosen
        for count in range(1, min(most, len(known)) + 1)
        for chosen in itertools.combinations(known, count)
    ]
    return min(choices, key=lambda chosen: _confusion(chosen))


def _confusion(chosen: Sequence[Workload]) -> tuple[int, int, int, int]:
    """How many axes stand still, are special or look alike; then the traces and their size."""
    seen = [tuple(w.axes[a] for w in chosen) for a in chosen[0].axes]
    still = sum(len(set(sizes)) == 1 for sizes in seen)
    numbers = [{**w.constants, **w.axes} for w in chosen]
    special = len({name for ns in numbers for name, number in ns.items() if number <= 1})
    alike = len(seen) - len(set(seen))
    # A third trace is worth its time: it refutes what fits two by chance.
    too_few = max(0, 3 - len(chosen))
    elements = sum(math.prod(w.axes.values()) for w in chosen)
    return still + alike, special, too_few, elements
