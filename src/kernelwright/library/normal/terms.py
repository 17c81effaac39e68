"""Terms: elements of a program with the spelling taken out.

A term is an operation on terms, or a leaf: a tensor, an axis, a constant, a variable. Equal terms
are one. Sums and products are flat and have no order; a difference is a sum, a quotient a product
with a power, a comparison of integers a sum below zero. All of that holds in real numbers and, but
for a rounding, on a computer; what changes more than a rounding (a softmax without its maximum, a
variance from the mean of squares) is left as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

TENSOR, OUTPUT, AXIS, CONSTANT, VARIABLE = "tensor", "output", "axis", "constant", "variable"
LEAVES = (TENSOR, OUTPUT, AXIS, CONSTANT, VARIABLE)

# Constants that are part of what is computed; every other one is a number of the problem.
_LITERALS = (0.0, 1.0, -1.0)
_FLOATS = ("float32", "float64")
_HALF = Fraction(1, 2)


@dataclass(frozen=True, eq=False)
class Term:
    """One value. Equal only to itself; made by `Terms`.

    `op` says the operation with everything in it that is no term. With `ordered` false the order of
    `args` means nothing. A leaf has its kind in `op` and, apart, its `name` or its `value`.
    """

    op: str
    args: tuple[Term, ...]
    ordered: bool
    number: int = field(compare=False)
    name: str = ""
    value: float | None = None
    inner: frozenset[Term] = frozenset()

    @property
    def free(self) -> frozenset[Term]:
        """The variables in it that nothing in it binds."""
        return frozenset((self,)) if self.kind == VARIABLE else self.inner

    @property
    def kind(self) -> str:
        """What kind of leaf it is; for an operation, the first word of it."""
        return self.op.partition(":")[0]

    @property
    def is_leaf(self) -> bool:
        """Whether it is one of the things that have names in a program."""
        return self.kind in LEAVES and not self.args


class Terms:
    """Makes terms; the same operation on the same terms is one term."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Term] = {}

    # Leaves.

    def leaf(self, kind: str, name: str, dtype: str = "") -> Term:
        """A tensor, an axis, an output or a variable."""
        return self._make(f"{kind}:{dtype}", (), True, name=name)

    def number(self, value: float | Fraction, dtype: str) -> Term:
        """A number. In a float type it is a constant of the problem unless it is 0, 1 or -1."""
        if dtype not in _FLOATS:
            return self._make(f"={Fraction(value)}:{dtype}", (), True, value=float(value))
        exact = float(value)
        if exact in _LITERALS or not math.isfinite(exact):
            # The two zeros are told apart by no test that a program here would make.
            return self._make(f"={exact + 0.0}:{dtype}", (), True, value=exact)
        return self._make(f"{CONSTANT}:{dtype}", (), True, value=exact)

    # Operations.

    def apply(self, op: str, *args: Term, ordered: bool = True) -> Term:
        """An operation of which nothing more is known."""
        return self._make(op, args, ordered)

    def bind(self, op: str, variables: Sequence[Term], parts: Sequence[Term]) -> Term:
        """`op` over every value of `variables`, whose order means nothing."""
        bound = self._make("bound", tuple(variables), False)
        return self._make(op, (bound, *parts), True, bound=frozenset(variables))

    def add(self, dtype: str, terms: Iterable[Term]) -> Term:
        """A sum."""
        flat = [p for t in terms for p in (t.args if t.op == f"add:{dtype}" else (t,))]
        total, kept = self._numbers(flat, sum)
        if dtype not in _FLOATS:
            kept = self._collected(dtype, kept)
        if total != 0 or not kept:
            kept.append(self.number(total, dtype))
        return kept[0] if len(kept) == 1 else self._make(f"add:{dtype}", tuple(kept), False)

    def _collected(self, dtype: str, terms: Sequence[Term]) -> list[Term]:
        """A sum of integers with equal terms brought together, and none that cancel."""
        counted: dict[Term, Fraction] = {}
        for term in terms:
            factor, base = self._scaled(dtype, term)
            counted[base] = counted.get(base, Fraction(0)) + factor
        return [self.scale(dtype, n, base) for base, n in counted.items() if n]

    def _scaled(self, dtype: str, term: Term) -> tuple[Fraction, Term]:
        """An integer term as a number times a term."""
        if term.op != f"mul:{dtype}":
            return Fraction(1), term
        numbers = [a for a in term.args if a.value is not None]
        if not numbers:
            return Fraction(1), term
        factor = Fraction(numbers[0].op.partition(":")[0][1:])
        return factor, self.mul(dtype, [a for a in term.args if a.value is None])

    def scale(self, dtype: str, factor: Fraction | float, term: Term) -> Term:
        """A number times a term."""
        return self.mul(dtype, [self.number(factor, dtype), term])

    def mul(self, dtype: str, factors: Iterable[Term]) -> Term:
        """A product."""
        flat = [p for f in factors for p in (f.args if f.op == f"mul:{dtype}" else (f,))]
        total, rest = self._numbers(flat, math.prod)
        rest = self._sizes(rest)
        if total == 0 and dtype not in _FLOATS:
            return self.number(0, dtype)
        if total == -1 and len(rest) == 1 and rest[0].op == f"add:{dtype}":
            return self.add(dtype, [self.scale(dtype, -1, t) for t in rest[0].args])
        if total != 1 or not rest:
            rest.append(self.number(total, dtype))
        return rest[0] if len(rest) == 1 else self._make(f"mul:{dtype}", tuple(rest), False)

    def power(self, base: Term, exponent: Fraction | float, dtype: str) -> Term:
        """A float raised to a power that is a number: only roots, reciprocals and sizes."""
        if exponent == 1:
            return base
        if base.value is not None:
            return self._number_to(base, exponent, dtype)
        if exponent == -1:
            if base.op == f"mul:{dtype}":
                return self.mul(dtype, [self.power(f, -1, dtype) for f in base.args])
            if (inner := self._logistic(base, dtype)) is not None:
                return self.apply(f"sigmoid:{dtype}", inner)
        if base.kind == "power" and exponent == -1:
            return self.power(base.args[0], -_exponent(base), dtype)
        return self._make(f"power:{_shown(exponent)}", (base,), True)

    def _number_to(self, base: Term, exponent: Fraction | float, dtype: str) -> Term:
        value = base.value or 0.0
        if value > 0 or exponent == -1:
            found = math.inf if value == 0 else value ** float(exponent)
            return self.number(found, dtype)
        return self._make(f"power:{_shown(exponent)}", (base,), True)

    def _logistic(self, base: Term, dtype: str) -> Term | None:
        """x where `base` is ``1 + exp(-x)``."""
        if base.op != f"add:{dtype}" or len(base.args) != 2:
            return None
        one = self.number(1.0, dtype)
        other = next((a for a in base.args if a is not one), None)
        if one not in base.args or other is None or other.op != f"exp:{dtype}":
            return None
        return self.scale(dtype, -1, other.args[0])

    def _numbers(
        self, terms: Sequence[Term], together: Callable[[list[Fraction | float]], Fraction | float]
    ) -> tuple[Fraction | float, list[Term]]:
        """The numbers among `terms` brought together, and the others."""
        numbers = [_value(t) for t in terms if t.value is not None]
        return together(numbers), [t for t in terms if t.value is None]

    def _sizes(self, factors: Sequence[Term]) -> list[Term]:
        """`factors` with one power for each axis that is among them as a float."""
        powers: dict[Term, Fraction | float] = {}
        rest: list[Term] = []
        for factor in factors:
            if factor.kind == "power" and factor.args[0].kind == AXIS:
                axis = factor.args[0]
                powers[axis] = powers.get(axis, 0) + _exponent(factor)
            else:
                rest.append(factor)
        sizes = [self._make(f"power:{_shown(e)}", (axis,), True) for axis, e in powers.items() if e]
        return rest + sizes

    def size(self, axis: Term, exponent: float) -> Term:
        """The size of an axis, as a float, to a power."""
        return self._make(f"power:{_shown(exponent)}", (axis,), True)

    def _make(
        self,
        op: str,
        args: tuple[Term, ...],
        ordered: bool,
        *,
        name: str = "",
        value: float | None = None,
        bound: frozenset[Term] = frozenset(),
    ) -> Term:
        if not ordered:
            args = tuple(sorted(args, key=lambda t: t.number))
        key = (op, tuple(a.number for a in args), ordered, name, value)
        if key not in self._known:
            inner = frozenset[Term]().union(*(a.free for a in args)) - bound
            self._known[key] = Term(op, args, ordered, len(self._known), name, value, inner)
        return self._known[key]


def _value(term: Term) -> Fraction | float:
    """The number that a number is; exact where it is no float."""
    said, _, dtype = term.op.partition(":")
    if dtype not in _FLOATS:
        return Fraction(said[1:])
    return term.value if term.value is not None else math.nan


def _exponent(term: Term) -> Fraction:
    return Fraction(term.op.partition(":")[2])


def _shown(exponent: Fraction | float) -> str:
    return str(Fraction(exponent).limit_denominator(1 << 20))
