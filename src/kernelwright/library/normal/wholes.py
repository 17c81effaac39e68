"""What is worked out from many elements, and the variables that go over them.

A `Whole` binds variables. They are named by how deep it is, so that two that differ only in the
names of what they bind are one; and two variables that only ever occur as one row-major position
are made one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kernelwright.core.problem import DType
from kernelwright.knowledge.sketches.expr import (
    Call,
    Cast,
    Expr,
    Load,
    Maker,
    Position,
    Reduced,
)
from kernelwright.knowledge.sketches.index import (
    Atom,
    Data,
    Index,
    Quotient,
    Remainder,
    Var,
    index,
)


@dataclass(frozen=True)
class Whole:
    """Something worked out from many elements: a reduction, or an operator that stays whole.

    `parts` are worked out for every value of the variables that are bound. `at` is where in the
    result the element is, `literals` are arguments that are no tensors, `height` is one more than
    that of any `Whole` inside.
    """

    op: str
    dtype: DType
    bound: tuple[Var, ...]
    parts: tuple[Expr, ...]
    at: tuple[Index, ...] = ()
    literals: tuple[Any, ...] = ()
    height: int = 1


class Wholes:
    """Makes every `Whole` of one program, and changes variables in expressions that have them."""

    def __init__(self) -> None:
        self.maker = Maker()
        self.known: dict[str, Whole] = {}
        self._keys: dict[Whole, str] = {}

    def make(
        self,
        op: str,
        dtype: DType,
        bound: Sequence[Var],
        parts: tuple[Expr, ...],
        at: tuple[Index, ...] = (),
        literals: tuple[Any, ...] = (),
    ) -> Expr:
        """The leaf that stands for a `Whole`. Two that differ in their variables' names are one."""
        if op == "sum" and isinstance(parts[0].form, Reduced):
            inner = self.known[parts[0].form.key]
            if (inner.op, inner.dtype) == (op, dtype):
                bound, parts = (*bound, *inner.bound), inner.parts
        if not at:
            bound, _, parts = self.joined(list(bound), (), parts)
        height = 1 + max((self._height(p) for p in parts), default=0)
        names = {old: Var(f"r{height}.{d}", old.extent) for d, old in enumerate(bound)}
        renaming = Renaming(names)
        done: dict[int, Expr] = {}
        return self._leaf(
            Whole(
                op,
                dtype,
                tuple(names.values()),
                tuple(self.rebuilt(p, renaming, done) for p in parts),
                tuple(self.index(i, renaming) for i in at),
                literals,
                height,
            )
        )

    def _leaf(self, whole: Whole) -> Expr:
        # True, 1 and 1.0 are equal in Python and not in a program.
        key = self._keys.setdefault(
            replace(whole, literals=(repr(whole.literals),)), f"{len(self._keys)}"
        )
        self.known[key] = whole
        return self.maker.make(Reduced(key, ()), whole.dtype)

    def _height(self, root: Expr) -> int:
        return max(
            (self.known[e.form.key].height for e in self.walk(root) if isinstance(e.form, Reduced)),
            default=0,
        )

    def walk(self, *roots: Expr) -> Iterator[Expr]:
        """Every expression in `roots` once, but not those inside of a `Whole`."""
        seen: set[int] = set()
        stack = list(roots)
        while stack:
            expr = stack.pop()
            if expr.number in seen:
                continue
            seen.add(expr.number)
            yield expr
            stack += expr.args
            stack += [self.maker.behind(a) for i in expr.indices for a in _data(i)]

    def everything(self, *roots: Expr) -> Iterator[Expr]:
        """Every expression in `roots` once, those inside of each `Whole` too."""
        seen: set[int] = set()
        stack = list(roots)
        while stack:
            for expr in self.walk(stack.pop()):
                if expr.number in seen:
                    continue
                seen.add(expr.number)
                yield expr
                if isinstance(expr.form, Reduced):
                    whole = self.known[expr.form.key]
                    stack += whole.parts
                    stack += [self.maker.behind(a) for i in whole.at for a in _data(i)]

    def all_indices(self, *roots: Expr) -> Iterator[Index]:
        """Every index in `roots`, those in each `Whole` and in quotients and remainders too."""
        for expr in self.everything(*roots):
            for own in expr.indices:
                yield from _nested(own)
            if isinstance(expr.form, Reduced):
                for own in self.known[expr.form.key].at:
                    yield from _nested(own)

    def joined(
        self, bound: Sequence[Var], ats: tuple[Index, ...], bodies: tuple[Expr, ...]
    ) -> tuple[list[Var], tuple[Index, ...], tuple[Expr, ...]]:
        """The same with two variables made one wherever they only occur as a row-major position."""
        left = list(bound)
        while (pair := self._neighbours(left, ats, bodies)) is not None:
            outer, inner = pair
            both = Var(f"{outer.name}{inner.name}", outer.extent * inner.extent)
            joining = Joining(outer, inner, both)
            ats = tuple(self.index(i, joining) for i in ats)
            done: dict[int, Expr] = {}
            bodies = tuple(self.rebuilt(b, joining, done) for b in bodies)
            left[left.index(outer)] = both
            left.remove(inner)
        return left, ats, bodies

    def _neighbours(
        self, bound: Sequence[Var], ats: tuple[Index, ...], bodies: tuple[Expr, ...]
    ) -> tuple[Var, Var] | None:
        if len(bound) < 2:
            return None
        found = [*self.all_indices(*bodies), *(n for i in ats for n in _nested(i))]
        for outer in bound:
            for inner in bound:
                if outer != inner and all(
                    i.coefficient(outer) == i.coefficient(inner) * inner.extent for i in found
                ):
                    return outer, inner
        return None

    # Changing the variables in an expression.

    def rebuilt(self, root: Expr, change: Renaming | Joining, done: dict[int, Expr]) -> Expr:
        """`root` with its variables changed; `done` keeps what was changed before, by number."""
        if root.number in done:
            return done[root.number]
        form = root.form
        match form:
            case Call(name=name, args=args):
                form = Call(name, tuple(self.rebuilt(a, change, done) for a in args))
            case Cast(arg=arg, through=through):
                form = Cast(self.rebuilt(arg, change, done), through)
            case Load(tensor=tensor, at=at):
                form = Load(tensor, self.index(at, change, done), None)
            case Position(at=at):
                form = Position(self.index(at, change, done))
            case Reduced(key=key):
                whole = self.known[key]
                done[root.number] = self._leaf(
                    replace(
                        whole,
                        parts=tuple(self.rebuilt(p, change, done) for p in whole.parts),
                        at=tuple(self.index(i, change, done) for i in whole.at),
                    )
                )
                return done[root.number]
        done[root.number] = self.maker.make(form, root.dtype)
        return done[root.number]

    def index(
        self, of: Index, change: Renaming | Joining, done: dict[int, Expr] | None = None
    ) -> Index:
        """An index with its variables changed."""
        known: dict[int, Expr] = {} if done is None else done
        total = index(of.constant)
        for atom, coefficient in of.terms:
            total = total + Index(((self._atom(atom, change, known), coefficient),))
        return change(total)

    def _atom(self, atom: Atom, change: Renaming | Joining, done: dict[int, Expr]) -> Atom:
        match atom:
            case Data():
                return self.maker.data(self.rebuilt(self.maker.behind(atom), change, done))
            case Quotient(of=inner, by=by):
                return Quotient(self.index(inner, change, done), by)
            case Remainder(of=inner, by=by):
                return Remainder(self.index(inner, change, done), by)
            case Var():
                return atom


@dataclass(frozen=True)
class Renaming:
    """Gives variables other names."""

    names: Mapping[Var, Var]

    def __call__(self, of: Index) -> Index:
        """`of` after the change."""
        terms = ((self.names.get(a, a) if isinstance(a, Var) else a, c) for a, c in of.terms)
        return Index(tuple(terms), of.constant)


@dataclass(frozen=True)
class Joining:
    """Puts one variable in the place of two."""

    outer: Var
    inner: Var
    both: Var

    def __call__(self, of: Index) -> Index:
        """`of` after the change."""
        step = of.coefficient(self.inner)
        return of.without(self.outer).without(self.inner) + index(self.both) * step


def variables_of(of: Sequence[Index]) -> list[Var]:
    """The variables that single indices are; a dimension of one element has none."""
    return [atom for each in of for atom, _ in each.terms if isinstance(atom, Var)]


def _nested(of: Index) -> Iterator[Index]:
    yield of
    for atom, _ in of.terms:
        if isinstance(atom, Quotient | Remainder):
            yield from _nested(atom.of)


def _data(of: Index) -> Iterator[Data]:
    for each in _nested(of):
        yield from (atom for atom, _ in each.terms if isinstance(atom, Data))
