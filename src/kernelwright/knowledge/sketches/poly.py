"""Sizes and strides as polynomials in the axes, so that two of them can be told equal.

What a number of the graph becomes before a sketch reasons about it. Where a program uses an eighth
of an axis, that eighth is the unit (``channels/8``) and the axis is eight of it, so that
coefficients stay integers; where that is not known they may be fractions, and the value of the
whole at any workload is an integer all the same. In the same way the query heads of one head of
keys are a unit (``heads/kv_heads``), and all query heads are as many of it as there are of those.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from kernelwright.core.graph import Extent

Monomial = tuple[str, ...]
# What an axis is a multiple of: a number, or another axis.
Part = int | str


def axes_of(unit: str) -> tuple[str, ...]:
    """The axes that a unit is made of, the one that it is a part of first.

    >>> axes_of("heads"), axes_of("channels/8"), axes_of("heads/kv_heads")
    (('heads',), ('channels',), ('heads', 'kv_heads'))
    """
    axis, _, part = unit.partition("/")
    return (axis,) if not part or part.isdigit() else (axis, part)


@dataclass(frozen=True)
class Poly:
    """A sum of products of axes; `terms` are sorted and have no zero coefficient.

    >>> rows, dim = Poly.axis("rows"), Poly.axis("dim")
    >>> str((rows * dim + rows) / rows)
    'dim + 1'
    """

    terms: tuple[tuple[Monomial, Fraction], ...]

    @classmethod
    def of(cls, terms: Mapping[Monomial, Fraction]) -> Poly:
        """The polynomial with these coefficients."""
        return cls(tuple(sorted((m, c) for m, c in terms.items() if c)))

    @classmethod
    def number(cls, value: int | Fraction) -> Poly:
        """A constant."""
        return cls.of({(): Fraction(value)})

    @classmethod
    def axis(cls, name: str, parts: Mapping[str, Part] | None = None) -> Poly:
        """The size of one axis; `parts` are what axes are known to be multiples of."""
        part = (parts or {}).get(name, 1)
        if part == 1:
            return cls.of({(name,): Fraction(1)})
        number = cls.number(part) if isinstance(part, int) else cls.axis(part, parts)
        return number * cls.of({(f"{name}/{part}",): Fraction(1)})

    @classmethod
    def from_extent(cls, extent: Extent, parts: Mapping[str, Part] | None = None) -> Poly:
        """What `extent`, of the power 1, says; `parts` are what the axes are multiples of."""
        total = cls.number(Fraction(extent.numerator, extent.denominator))
        for axis, by in itertools.zip_longest(extent.axes, extent.over):
            unit = cls.axis(axis, parts) if by is None else cls.axis(f"{axis}/{by}")
            total = total * unit
        return total + extent.offset

    def __add__(self, other: Poly | int) -> Poly:
        total = dict(self.terms)
        for monomial, coefficient in _poly(other).terms:
            total[monomial] = total.get(monomial, Fraction(0)) + coefficient
        return Poly.of(total)

    def __sub__(self, other: Poly | int) -> Poly:
        return self + _poly(other) * -1

    def __mul__(self, other: Poly | int) -> Poly:
        total: dict[Monomial, Fraction] = {}
        for m1, c1 in self.terms:
            for m2, c2 in _poly(other).terms:
                monomial = tuple(sorted(m1 + m2))
                total[monomial] = total.get(monomial, Fraction(0)) + c1 * c2
        return Poly.of(total)

    def __truediv__(self, other: Poly) -> Poly | None:
        """The exact quotient by a polynomial of one term, or of equal shape; else None."""
        if self == other:
            return Poly.number(1)
        if len(other.terms) != 1:
            return None
        (by, scale), total = other.terms[0], {}
        for monomial, coefficient in self.terms:
            left = list(monomial)
            for axis in by:
                if axis not in left:
                    return None
                left.remove(axis)
            total[tuple(left)] = coefficient / scale
        return Poly.of(total)

    def __str__(self) -> str:
        return self.text({})

    def text(self, names: Mapping[str, str], division: str = "/") -> str:
        """A sum of products, constants last, with the axes called by `names`.

        A fraction is written as a `division`, which is exact.
        """
        ordered = sorted(self._in_axes().terms, key=lambda t: (-len(t[0]), t))
        parts = [
            _term_text([_factor(a, names, division) for a in m], c, division) for m, c in ordered
        ]
        return " + ".join(parts).replace("+ -", "- ") or "0"

    def _in_axes(self) -> Poly:
        """The same in whole axes, whatever units it is kept in. What is left of an axis that is
        divided by another stays one factor, ``heads/kv_heads``."""
        total: dict[Monomial, Fraction] = {}
        for monomial, coefficient in self.terms:
            axes, quotients = list[str](), list[str]()
            for unit in monomial:
                axis, _, part = unit.partition("/")
                if part and not part.isdigit():
                    quotients.append(unit)
                    continue
                coefficient /= int(part or 1)
                axes.append(axis)
            for unit in quotients:
                axis, by = axes_of(unit)
                cancels = by in axes
                if cancels:
                    axes.remove(by)
                axes.append(axis if cancels else unit)
            whole = tuple(sorted(axes))
            total[whole] = total.get(whole, Fraction(0)) + coefficient
        return Poly.of(total)

    @property
    def axes(self) -> set[str]:
        """The axes that take part."""
        units = (unit for monomial, _ in self._in_axes().terms for unit in monomial)
        return {axis for unit in units for axis in axes_of(unit)}

    @property
    def constant(self) -> int | None:
        """The value if no axis takes part."""
        if not self.terms:
            return 0
        (monomial, coefficient), *more = self.terms
        whole = not more and not monomial and coefficient.denominator == 1
        return int(coefficient) if whole else None

    @property
    def whole(self) -> bool:
        """Whether every coefficient is an integer."""
        return all(c.denominator == 1 for _, c in self.terms)

    @property
    def never_negative(self) -> bool:
        """Whether it is known to be at least zero, given that every axis is at least one."""
        # Substituting 1 + t for each axis, t >= 0: no negative coefficient is enough.
        shifted = Poly.number(0)
        for monomial, coefficient in self.terms:
            product = Poly.number(coefficient)
            for axis in monomial:
                product = product * (Poly.axis(axis) + 1)
            shifted = shifted + product
        return all(c >= 0 for _, c in shifted.terms)

    def at(self, sizes: Mapping[str, int]) -> int:
        """The value under the sizes of a workload, rounded down."""
        terms = self._in_axes().terms
        total = sum((c * math.prod(_size(a, sizes) for a in m) for m, c in terms), Fraction(0))
        return math.floor(total)


def _poly(value: Poly | int) -> Poly:
    return value if isinstance(value, Poly) else Poly.number(value)


def _size(unit: str, sizes: Mapping[str, int]) -> Fraction:
    axis, *over = axes_of(unit)
    return Fraction(sizes[axis], math.prod(sizes[by] for by in over))


def _factor(unit: str, names: Mapping[str, str], division: str) -> str:
    said = f" {division} ".join(names.get(axis, axis) for axis in axes_of(unit))
    return f"({said})" if len(axes_of(unit)) > 1 else said


def _term_text(factors: list[str], coefficient: Fraction, division: str) -> str:
    if coefficient.numerator != 1 or not factors:
        factors = [str(coefficient.numerator), *factors]
    text = " * ".join(factors)
    if coefficient.denominator == 1:
        return text
    return f"{text} {division} {coefficient.denominator}"


ONE = Poly.number(1)
ZERO = Poly.number(0)


def product(polys: Sequence[Poly]) -> Poly:
    """All of `polys` multiplied; one for none."""
    total = ONE
    for poly in polys:
        total = total * poly
    return total
