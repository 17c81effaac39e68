"""From elements to terms: every expression, index and size of a program as one term."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from kernelwright.core.graph import Extent
from kernelwright.core.problem import DType
from kernelwright.knowledge.sketches.expr import (
    Call,
    Cast,
    Constant,
    Expr,
    Load,
    Position,
    Reduced,
    Scalar,
)
from kernelwright.knowledge.sketches.index import Data, Index, Quotient, Remainder, Var
from kernelwright.knowledge.sketches.poly import Monomial, Poly
from kernelwright.library.normal.elements import Elements, Store, elements_of
from kernelwright.library.normal.symbols import Symbols
from kernelwright.library.normal.terms import AXIS, OUTPUT, TENSOR, VARIABLE, Term, Terms
from kernelwright.library.normal.wholes import Whole

_INT = "int64"
_FLOATS = ("float32", "float64")
_UNORDERED = frozenset(
    ("maximum", "minimum", "eq", "ne", "logical_and", "logical_or", "logical_xor", "bit_and",
     "bit_or", "bit_xor", "hypot")
)  # fmt: skip
# The same question with its sides changed.
_TURNED = {"gt": "lt", "ge": "le"}


class Converter:
    """Turns the expressions of one program into terms, with its sizes in `symbols`."""

    def __init__(self, elements: Elements, symbols: Symbols) -> None:
        self.terms = Terms()
        self._elements = elements
        self._symbols = symbols
        self.sizes: dict[str, Monomial] = {}
        self._done: dict[int, Term] = {}
        self._bound: dict[Var, Term] = {}

    def store(self, store: Store) -> Term:
        """An output as a term: what is written, and where."""
        value = self.expr(store.value)
        if value.op == f"rounded:{store.dtype}":
            # What is stored is rounded to the output's type anyway.
            value = value.args[0]
        output = self.terms.leaf(OUTPUT, store.name, store.dtype)
        return self.terms.apply("store", output, self.index(store.at), value)

    def tensor(self, name: str) -> Term:
        """What there is to an input beyond what is read of it: its number of elements."""
        size = self.poly(elements_of(self._elements.shape(name)))
        return self.terms.apply("given", self._tensor(name), size)

    def _tensor(self, name: str) -> Term:
        return self.terms.leaf(TENSOR, name, self._elements.dtype(name))

    def expr(self, expr: Expr) -> Term:
        """The term of an expression."""
        if expr.number not in self._done:
            self._done[expr.number] = self._expr(expr)
        return self._done[expr.number]

    def _expr(self, expr: Expr) -> Term:
        dtype = expr.dtype
        match expr.form:
            case Load(tensor=name, at=at):
                return self.terms.apply("load", self._tensor(name), self.index(at))
            case Scalar(name=name):
                return self._tensor(name)
            case Constant(value=value):
                return self._constant(value, dtype)
            case Position(at=at):
                return self.index(at)
            case Cast(arg=arg, through=through):
                return self._cast(arg, dtype, through)
            case Reduced(key=key):
                return self._whole(self._elements.wholes.known[key])
            case Call(name=name, args=args):
                return self._call(name, [self.expr(a) for a in args], args[0].dtype, dtype)

    def _constant(self, value: bool | int | float | Extent, dtype: DType) -> Term:
        if not isinstance(value, Extent):
            return self.terms.number(value, dtype)
        if value.offset == 0 and dtype in _FLOATS:
            factor = Fraction(value.numerator, value.denominator)
            number = self.terms.number(float(factor) ** value.power, dtype)
            whole = value.model_copy(update={"numerator": 1, "denominator": 1, "power": 1.0})
            size = Poly.from_extent(whole, self._elements.parts)
            return self.terms.mul(dtype, [number, self._power(size, value.power, dtype)])
        counted = self.poly(Poly.from_extent(value, self._elements.parts))
        if dtype not in _FLOATS and value.power == 1.0:
            return counted
        return self.terms.apply(f"float:{value.power}:{dtype}", counted)

    def _power(self, size: Poly, power: float, dtype: DType) -> Term:
        """A product of axes, as a float, to a power."""
        ((monomial, coefficient),) = size.terms
        number = self.terms.number(float(coefficient) ** power, dtype)
        axes = [self.terms.size(self._axis(s), power) for s in self._symbols.of(monomial)]
        return self.terms.mul(dtype, [number, *axes])

    def _cast(self, arg: Expr, dtype: DType, through: DType | None) -> Term:
        if through is not None:
            return self.terms.apply(f"rounded:{through}", self.expr(arg))
        if dtype in _FLOATS and isinstance(arg.form, Position) and not arg.form.at.terms:
            return self._float_of(arg.form.at.constant, dtype)
        return self.terms.apply(f"cast:{arg.dtype}:{dtype}", self.expr(arg))

    def _float_of(self, size: Poly, dtype: DType) -> Term:
        """A size as a float."""
        if len(size.terms) != 1:
            return self.terms.apply(f"float:1.0:{dtype}", self.poly(size))
        return self._power(size, 1.0, dtype)

    def _call(self, name: str, args: Sequence[Term], own: DType, dtype: DType) -> Term:
        """`own` is the type of the first argument, `dtype` that of the result."""
        terms, floating = self.terms, dtype in _FLOATS
        match name:
            case "add":
                return self._masked(dtype, args)
            case "sub":
                return terms.add(dtype, [args[0], terms.scale(dtype, -1, args[1])])
            case "mul":
                return terms.mul(dtype, args)
            case "neg":
                return terms.scale(dtype, -1, args[0])
            case "div" if floating:
                return terms.mul(dtype, [args[0], terms.power(args[1], -1, dtype)])
            case "sqrt" | "rsqrt":
                half = Fraction(1 if name == "sqrt" else -1, 2)
                return terms.power(args[0], half, dtype)
            case "relu":
                zero = terms.number(0, dtype)
                return terms.apply(f"maximum:{dtype}", args[0], zero, ordered=False)
            case "lt" | "le" | "gt" | "ge":
                return self._compared(name, args[0], args[1], own)
            case "bitwise_not" | "logical_not" if dtype == "bool":
                return self._negated(args[0])
            case "bit_and" | "logical_and" if dtype == "bool":
                return self._all(args)
            case "where":
                return self._chosen(dtype, *args)
        return terms.apply(f"{name}:{dtype}", *args, ordered=name not in _UNORDERED)

    def _masked(self, dtype: DType, args: Sequence[Term]) -> Term:
        """A sum. With a term that is minus infinity here and zero there, it is a choice."""
        low, zero = self.terms.number(-math.inf, dtype), self.terms.number(0, dtype)
        for mask, other in (tuple(args), tuple(reversed(args))):
            if mask.op == f"where:{dtype}" and mask.args[1:] == (low, zero):
                return self._chosen(dtype, mask.args[0], low, other)
            if mask.op == f"where:{dtype}" and mask.args[1:] == (zero, low):
                return self._chosen(dtype, mask.args[0], other, low)
        return self.terms.add(dtype, args)

    def _compared(self, name: str, left: Term, right: Term, dtype: DType) -> Term:
        if name in _TURNED:
            name, left, right = _TURNED[name], right, left
        if dtype in _FLOATS or dtype == "bool":
            return self.terms.apply(f"{name}:{dtype}", left, right)
        less = [self.terms.number(-1, dtype)] if name == "le" else []
        return self._negative([left, self.terms.scale(dtype, -1, right), *less], dtype)

    def _negative(self, terms: Sequence[Term], dtype: str) -> Term:
        """Whether a sum of integers is below zero."""
        return self.terms.apply(f"negative:{dtype}", self.terms.add(dtype, terms))

    def _negated(self, term: Term) -> Term:
        if term.kind == "logical_not":
            return term.args[0]
        if term.kind == "negative":
            dtype = term.op.partition(":")[2]
            turned = self.terms.scale(dtype, -1, term.args[0])
            return self._negative([turned, self.terms.number(-1, dtype)], dtype)
        return self.terms.apply("logical_not:bool", term)

    def _all(self, args: Sequence[Term]) -> Term:
        flat = [p for t in args for p in (t.args if t.op == "logical_and:bool" else (t,))]
        true = self.terms.number(1, "bool")
        left = list(dict.fromkeys(t for t in flat if t is not true))
        if len(left) < 2:
            return left[0] if left else true
        return self.terms.apply("logical_and:bool", *left, ordered=False)

    def _chosen(self, dtype: DType, condition: Term, chosen: Term, other: Term) -> Term:
        if condition.kind == "logical_not":
            condition, chosen, other = condition.args[0], other, chosen
        if condition.kind == "negative":
            # Of a comparison of integers and its opposite, the simpler one is kept.
            opposite = self._negated(condition)
            if _rank(opposite) < _rank(condition):
                condition, chosen, other = opposite, other, chosen
        if other is self.terms.number(0, dtype) and self._always(condition):
            return chosen
        return self.terms.apply(f"where:{dtype}", condition, chosen, other)

    def _always(self, condition: Term) -> bool:
        """Whether `condition` asks if a row of attention has anything that is not masked, where the
        mask, if there is one, follows from positions: such a row always has."""
        if condition.kind != "any" or condition.args[-1].kind != "logical_not":
            return False
        asked = condition.args[-1].args[0]
        left = [a for a in asked.args if a.value != -math.inf]
        if asked.kind != "eq" or len(left) != 1:
            return False
        scores = left[0]
        by_position = scores.kind == "where" and scores.args[0].kind == "negative"
        return by_position or scores.kind in ("mul", "sum")

    def _whole(self, whole: Whole) -> Term:
        bound = [self._variable(v) for v in whole.bound]
        parts = [self.expr(p) for p in whole.parts]
        at = [self.index(i) for i in whole.at]
        literals = f":{whole.literals}" if whole.literals else ""
        op = f"{whole.op}:{whole.dtype}{literals}"
        if whole.op == "sum" and whole.dtype in _FLOATS:
            return self._sum(op, whole, bound, parts[0])
        return self.terms.bind(op, bound, [*parts, *at])

    def _sum(self, op: str, whole: Whole, bound: Sequence[Term], body: Term) -> Term:
        """A sum, with the factors that its variables do not change in front of it."""
        variables = {leaf for v in bound for leaf in v.free}
        factors = body.args if body.op == f"mul:{whole.dtype}" else (body,)
        inside = [f for f in factors if f.free & variables]
        if not inside:
            return self.terms.bind(op, bound, [body])
        outside = [f for f in factors if not f.free & variables]
        summed = self.terms.bind(op, bound, [self.terms.mul(whole.dtype, inside)])
        return self.terms.mul(whole.dtype, [*outside, summed])

    # Indices and sizes.

    def index(self, of: Index) -> Term:
        """An index as a sum of integers."""
        terms = [
            self.terms.mul(_INT, [self._atom(atom), self.poly(coefficient)])
            for atom, coefficient in of.terms
        ]
        return self.terms.add(_INT, [*terms, self.poly(of.constant)])

    def _atom(self, atom: Var | Quotient | Remainder | Data) -> Term:
        match atom:
            case Var():
                return self._variable(atom)
            case Quotient(of=of, by=by):
                return self.terms.apply("quotient", self.index(of), self.poly(by))
            case Remainder(of=of, by=by):
                return self.terms.apply("remainder", self.index(of), self.poly(by))
            case Data():
                return self.expr(self._elements.maker.behind(atom))

    def _variable(self, variable: Var) -> Term:
        """A loop variable, with the range that it goes over."""
        if variable not in self._bound:
            leaf = self.terms.leaf(VARIABLE, f"{variable.name}<{variable.extent}")
            self._bound[variable] = leaf
        return self._bound[variable]

    def ranges(self) -> list[Term]:
        """How far each variable goes."""
        return [
            self.terms.apply("range", leaf, self.poly(variable.extent))
            for variable, leaf in self._bound.items()
        ]

    def poly(self, size: Poly) -> Term:
        """A size as a sum of products of axes."""
        return self.terms.add(
            _INT,
            [
                self.terms.mul(
                    _INT,
                    [self.terms.number(c, _INT), *map(self._axis, self._symbols.of(monomial))],
                )
                for monomial, c in size.terms
            ],
        )

    def _axis(self, symbol: Monomial) -> Term:
        name = "*".join(symbol)
        self.sizes[name] = symbol
        return self.terms.leaf(AXIS, name)


def _rank(comparison: Term) -> tuple[int, int]:
    """Something to order two opposite comparisons by, in which no name takes part: how many terms
    are in the sum, and how many of them are taken away."""
    total = comparison.args[0]
    parts = total.args if total.kind == "add" else (total,)
    return len(parts), sum(any(a.op.startswith("=-") for a in (p.args or (p,))) for p in parts)
