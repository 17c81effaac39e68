"""Index arithmetic: where in a tensor an element is, in terms of loop variables.

An `Index` is a sum of atoms (loop variables, quotients, remainders, indices read from memory) with
`Poly` coefficients. Reshapes flatten and split; the sums are simplified so that a loop over
neighbours in memory is seen to be one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.knowledge.sketches.poly import ONE, ZERO, Poly, product


@dataclass(frozen=True)
class Var:
    """A loop variable, from 0 up to but not including `extent`."""

    name: str
    extent: Poly


@dataclass(frozen=True)
class Quotient:
    """`of` divided by `by`, rounded down; both are at least zero."""

    of: Index
    by: Poly


@dataclass(frozen=True)
class Remainder:
    """What is left of `of` after division by `by`."""

    of: Index
    by: Poly


@dataclass(frozen=True)
class Data:
    """An integer that the kernel reads or computes: the `number`-th expression of its maker."""

    number: int


Atom = Var | Quotient | Remainder | Data


@dataclass(frozen=True)
class Index:
    """``constant + sum(coefficient * atom)``."""

    terms: tuple[tuple[Atom, Poly], ...] = ()
    constant: Poly = ZERO

    def __add__(self, other: Index | Poly | int) -> Index:
        if isinstance(other, int):
            other = Poly.number(other)
        if isinstance(other, Poly):
            return Index(self.terms, self.constant + other)
        total = dict(self.terms)
        for atom, coefficient in other.terms:
            total[atom] = total.get(atom, ZERO) + coefficient
        terms = tuple((a, c) for a, c in total.items() if c != ZERO)
        return _joined(Index(terms, self.constant + other.constant))

    def __mul__(self, by: Poly | int) -> Index:
        by = Poly.number(by) if isinstance(by, int) else by
        if by == ZERO:
            return Index()
        return Index(tuple((a, c * by) for a, c in self.terms), self.constant * by)

    def coefficient(self, var: Var) -> Poly:
        """How far a step of `var` moves, not counting quotients and remainders of it."""
        return next((c for a, c in self.terms if a == var), ZERO)

    def without(self, var: Var) -> Index:
        """The sum without the term of `var`."""
        return Index(tuple(t for t in self.terms if t[0] != var), self.constant)


def index(value: Var | Data | Poly | int) -> Index:
    """`value` as an index."""
    if isinstance(value, int):
        return Index((), Poly.number(value))
    if isinstance(value, Poly):
        return Index((), value)
    if isinstance(value, Var) and value.extent == ONE:
        return Index()
    return Index(((value, ONE),))


def divided(of: Index, by: Poly) -> tuple[Index, Index]:
    """Quotient and remainder of `of`, which is at least zero, simplified where that is certain."""
    if by == ONE:
        return of, Index()
    high, low = _split(of, by)
    if _below(low, by):
        return high, low
    for step in sorted({c for _, c in low.terms}, key=str):
        # step * a + b with b < step, by a multiple of step: only a is divided.
        ratio = by / step
        coarse, fine = _split(low, step)
        if ratio is not None and ratio.whole and step != ONE and _below(fine, step):
            quotient, rest = divided(coarse, ratio)
            return high + quotient, rest * step + fine
    return high + Index(((Quotient(low, by), ONE),)), _remainder(low, by)


def _remainder(of: Index, by: Poly) -> Index:
    """What is left of `of`; of a remainder by a multiple of `by`, what is left of the whole."""
    while len(of.terms) == 1 and of.constant == ZERO:
        (atom, coefficient), *_ = of.terms
        if not isinstance(atom, Remainder) or coefficient != ONE:
            break
        ratio = atom.by / by
        if ratio is None or not ratio.whole:
            break
        of = atom.of
    return Index(((Remainder(of, by), ONE),))


def _split(of: Index, by: Poly) -> tuple[Index, Index]:
    """`of` as ``high * by + low``, with every term that `by` certainly divides in `high`."""
    high, low = Index(), Index()
    for atom, coefficient in of.terms:
        quotient = coefficient / by
        if quotient is not None and quotient.whole:
            high = high + Index(((atom, quotient),))
        else:
            low = low + Index(((atom, coefficient),))
    quotient = of.constant / by
    if quotient is not None and quotient.whole:
        return high + quotient, low
    return high, low + of.constant


def _below(of: Index, limit: Poly) -> bool:
    """Whether `of` is certainly at least zero and less than `limit`."""
    largest = _largest(of)
    return largest is not None and (limit - largest - 1).never_negative


def _largest(of: Index) -> Poly | None:
    """The largest value of `of`; None where that is not known or it may be below zero."""
    total = of.constant
    if not total.never_negative:
        return None
    for atom, coefficient in of.terms:
        bound = _bound(atom)
        if bound is None or not coefficient.never_negative:
            return None
        total = total + coefficient * (bound - 1)
    return total


def _bound(atom: Atom) -> Poly | None:
    """What `atom` stays below."""
    match atom:
        case Var(extent=extent):
            return extent
        case Remainder(by=by):
            return by
        case Quotient(of=of, by=by):
            largest = _largest(of)
            return None if largest is None else (largest + 1) / by
        case Data():
            return None


def _joined(of: Index) -> Index:
    """`of` with each ``by * (x / by) + x % by`` turned back into x."""
    for rest, coefficient in of.terms:
        if not isinstance(rest, Remainder):
            continue
        for whole, times in of.terms:
            if (
                isinstance(whole, Quotient)
                and (whole.by, times) == (rest.by, coefficient * rest.by)
                and _remainder(whole.of, rest.by) == Index(((rest, ONE),))
            ):
                left = tuple(t for t in of.terms if t[0] not in (rest, whole))
                return Index(left, of.constant) + whole.of * coefficient
    return of


def flattened(at: Sequence[Index], shape: Sequence[Poly]) -> Index:
    """The row-major position of `at` in a tensor of `shape`."""
    total = Index()
    for place, each in enumerate(at):
        total = total + each * product(list(shape[place + 1 :]))
    return total


def split(position: Index, shape: Sequence[Poly]) -> tuple[Index, ...]:
    """Where in a tensor of `shape` the row-major `position` is."""
    found: list[Index] = []
    rest = position
    for place in range(len(shape) - 1):
        if shape[place] == ONE:
            found.append(Index())
            continue
        high, rest = divided(rest, product(list(shape[place + 1 :])))
        found.append(high)
    return (*found, Index() if shape and shape[-1] == ONE else rest) if shape else ()


def atoms(of: Index) -> set[Atom]:
    """Every atom in `of`, those inside of quotients and remainders too."""
    found: set[Atom] = set()
    for atom, _ in of.terms:
        found.add(atom)
        if isinstance(atom, Quotient | Remainder):
            found |= atoms(atom.of)
    return found
