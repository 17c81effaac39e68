"""Expressions: what one element is, as a graph of loads, constants and calls.

Made by one `Maker`, which gives equal expressions one identity, so that a value used twice is
computed once. `dtype` is the type that is computed in: half and quarter precision compute in
float32.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from kernelwright.core.graph import Extent
from kernelwright.core.problem import DType
from kernelwright.knowledge.sketches.index import (
    Atom,
    Data,
    Index,
    Quotient,
    Remainder,
    Var,
    atoms,
    divided,
    index,
)

NARROW: frozenset[DType] = frozenset(("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"))


def computed_in(dtype: DType) -> DType:
    """The type in which values of `dtype` are computed."""
    return "float32" if dtype in NARROW else dtype


@dataclass(frozen=True)
class Load:
    """An element of a tensor, or zero where `guard` is false and the element need not exist."""

    tensor: str
    at: Index
    guard: Expr | None


@dataclass(frozen=True)
class Scalar:
    """A number that the caller gives by value."""

    name: str


@dataclass(frozen=True)
class Constant:
    """A number that is written into the text; the sizes decide it if it is an `Extent`."""

    value: bool | int | float | Extent


@dataclass(frozen=True)
class Position:
    """An index as a value (``arange``)."""

    at: Index


@dataclass(frozen=True)
class Call:
    """A primitive function, by its name in the tables of the languages."""

    name: str
    args: tuple[Expr, ...]


@dataclass(frozen=True)
class Cast:
    """Another type's value in this one; `through` is a narrower type to round to on the way."""

    arg: Expr
    through: DType | None = None


@dataclass(frozen=True)
class Reduced:
    """The result of reduction `key`, at an index into its result's shape (no kept dimensions)."""

    key: str
    at: tuple[Index, ...]
    guard: Expr | None = None


Form = Load | Scalar | Constant | Position | Call | Cast | Reduced


@dataclass(frozen=True, eq=False)
class Expr:
    """One value. Equal only to itself; made by `Maker.make`."""

    form: Form
    dtype: DType
    number: int = field(compare=False)

    @property
    def args(self) -> tuple[Expr, ...]:
        """The expressions that it is computed from, those in its indices left out."""
        match self.form:
            case Call(args=args):
                return args
            case Cast(arg=arg):
                return (arg,)
            case Load(guard=guard) | Reduced(guard=guard) if guard is not None:
                return (guard,)
            case _:
                return ()

    @property
    def indices(self) -> tuple[Index, ...]:
        """The indices in it."""
        match self.form:
            case Load(at=at) | Position(at=at):
                return (at,)
            case Reduced(at=many):
                return many
            case _:
                return ()


class Maker:
    """Makes expressions; the same form and dtype give the same expression."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Expr] = {}
        self._made: list[Expr] = []

    def __len__(self) -> int:
        return len(self._made)

    def make(self, form: Form, dtype: DType) -> Expr:
        """The expression of `form`."""
        # True, 1 and 1.0 are equal in Python and different in a kernel.
        kind = type(form.value) if isinstance(form, Constant) else None
        sign = str(form.value) if isinstance(form, Constant) else None
        key = (form, dtype, kind, sign)
        if key not in self._known:
            self._known[key] = Expr(form, dtype, len(self._made))
            self._made.append(self._known[key])
        return self._known[key]

    def constant(self, value: bool | int | float | Extent, dtype: DType) -> Expr:
        """A number."""
        return self.make(Constant(value), dtype)

    def call(self, name: str, *args: Expr, dtype: DType | None = None) -> Expr:
        """A call whose result has the type of its last argument unless said otherwise."""
        return self.make(Call(name, args), dtype or args[-1].dtype)

    def cast(self, arg: Expr, dtype: DType) -> Expr:
        """`arg` in the type that `dtype` is computed in; a constant is written in that type."""
        target = computed_in(dtype)
        if arg.dtype == target:
            return arg
        if isinstance(arg.form, Constant) and not isinstance(arg.form.value, Extent):
            value = arg.form.value
            if target in ("float32", "float64"):
                return self.constant(float(value), target)
        return self.make(Cast(arg), target)

    def rounded(self, arg: Expr, dtype: DType) -> Expr:
        """`arg` as if it had been stored in the narrow type `dtype` and read again."""
        return self.make(Cast(arg, through=dtype), "float32")

    def data(self, expr: Expr) -> Data:
        """The integer `expr` as an atom of an index."""
        return Data(expr.number)

    def behind(self, atom: Data) -> Expr:
        """The expression that a `Data` atom stands for."""
        return self._made[atom.number]


def parts(maker: Maker, expr: Expr) -> Iterator[Expr]:
    """What `expr` needs computed before it: arguments, and integers inside its indices."""
    yield from expr.args
    for at in expr.indices:
        for atom in atoms(at):
            if isinstance(atom, Data):
                yield maker.behind(atom)


def walk(maker: Maker, roots: Sequence[Expr], known: Container[int] = ()) -> list[Expr]:
    """Every expression that `roots` need, each after what it needs.

    Those whose number is in `known` are there already: they and what is below them are left out.
    """
    done: dict[int, Expr] = {}
    stack = [(r, False) for r in reversed(roots)]
    while stack:
        expr, ready = stack.pop()
        if expr.number in done or expr.number in known:
            continue
        if ready:
            done[expr.number] = expr
            continue
        stack.append((expr, True))
        stack.extend((p, False) for p in parts(maker, expr))
    return list(done.values())


def variables(maker: Maker, root: Expr) -> set[Var]:
    """The loop variables that the value of `root` depends on."""
    return {
        atom
        for expr in walk(maker, [root])
        for at in expr.indices
        for atom in atoms(at)
        if isinstance(atom, Var)
    }


def replaced(maker: Maker, root: Expr, swap: Callable[[Expr], Expr | None]) -> Expr:
    """`root` with each expression that `swap` answers for put in its place."""
    done: dict[int, Expr] = {}
    for expr in walk(maker, [root]):
        swapped = swap(_rebuilt(maker, expr, done))
        done[expr.number] = _rebuilt(maker, expr, done) if swapped is None else swapped
    return done[root.number]


def renamed(maker: Maker, root: Expr, names: Mapping[Var, Var]) -> Expr:
    """`root` with other loop variables in the place of its own."""
    return moved(maker, root, {var: index(name) for var, name in names.items()})


def moved(maker: Maker, root: Expr, places: Mapping[Var, Index]) -> Expr:
    """`root` with positions in the place of loop variables."""
    done: dict[int, Expr] = {}
    for expr in walk(maker, [root]):
        done[expr.number] = _rebuilt(maker, expr, done, places)
    return done[root.number]


def guarded(maker: Maker, root: Expr, guard: Expr | None) -> Expr:
    """`root`, of which nothing is read where `guard` is false."""
    if guard is None:
        return root

    def swap(expr: Expr) -> Expr | None:
        match expr.form:
            case Load(guard=own) | Reduced(guard=own):
                both = guard if own is None else maker.call("logical_and", guard, own)
                return maker.make(replace(expr.form, guard=both), expr.dtype)
            case _:
                return None

    return replaced(maker, root, swap)


def _rebuilt(
    maker: Maker,
    expr: Expr,
    done: dict[int, Expr],
    places: Mapping[Var, Index] = MappingProxyType({}),
) -> Expr:
    """`expr` over the new versions of its parts."""
    form = expr.form
    guard = getattr(form, "guard", None)
    new_guard = done[guard.number] if guard else None
    match form:
        case Call(name=name, args=args):
            form = Call(name, tuple(done[a.number] for a in args))
        case Cast(arg=arg, through=through):
            form = Cast(done[arg.number], through)
        case Load(tensor=tensor, at=at):
            form = Load(tensor, _rebuilt_index(maker, at, done, places), new_guard)
        case Position(at=at):
            form = Position(_rebuilt_index(maker, at, done, places))
        case Reduced(key=key, at=many):
            at_new = tuple(_rebuilt_index(maker, a, done, places) for a in many)
            form = Reduced(key, at_new, new_guard)
        case Scalar() | Constant():
            pass
    return maker.make(form, expr.dtype)


def _rebuilt_index(
    maker: Maker, of: Index, done: dict[int, Expr], places: Mapping[Var, Index]
) -> Index:
    total = index(of.constant)
    for atom, coefficient in of.terms:
        total = total + _rebuilt_atom(maker, atom, done, places) * coefficient
    return total


def _rebuilt_atom(
    maker: Maker, atom: Atom, done: dict[int, Expr], places: Mapping[Var, Index]
) -> Index:
    match atom:
        case Data(number=number):
            return index(maker.data(done[number]))
        case Quotient(of=of, by=by):
            return divided(_rebuilt_index(maker, of, done, places), by)[0]
        case Remainder(of=of, by=by):
            return divided(_rebuilt_index(maker, of, done, places), by)[1]
        case Var():
            return places.get(atom, index(atom))
