"""From a graph to what each element of each output is, whatever the operators were called.

The sketches' tables say what an operator does to one element; here they are read for any graph. A
view is index arithmetic, a matrix product is a sum of products, and an operator that no table has
stays whole. Values of a narrow type are rounded where the program rounds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelwright.core.graph import Extent, Graph, Node, Ref, Special
from kernelwright.core.problem import DType
from kernelwright.knowledge.sketches.contractions import MATRIX_PRODUCTS
from kernelwright.knowledge.sketches.expr import (
    NARROW,
    Cast,
    Expr,
    Load,
    Position,
    Scalar,
    computed_in,
)
from kernelwright.knowledge.sketches.index import (
    Index,
    Var,
    flattened,
    index,
)
from kernelwright.knowledge.sketches.pointwise import POINTWISE
from kernelwright.knowledge.sketches.poly import ONE, Poly, product
from kernelwright.knowledge.sketches.reductions import REDUCTION_PIECES, REDUCTIONS
from kernelwright.knowledge.sketches.site import NoSketch, Reduction, Shape, Site
from kernelwright.knowledge.sketches.values import Values
from kernelwright.knowledge.sketches.views import PIECES, VIEWS
from kernelwright.library.normal.wholes import Renaming, Wholes, variables_of

_RULES = POINTWISE | VIEWS | REDUCTIONS | MATRIX_PRODUCTS
_PIECES = PIECES | REDUCTION_PIECES
# Operators that go along one dimension and treat every line by itself: where that argument stands.
_ALONG = {
    "aten.cumsum.default": 1,
    "aten.cumprod.default": 1,
    "aten.logcumsumexp.default": 1,
    "aten.cummax.default": 1,
    "aten.cummin.default": 1,
    "aten.sort.default": 1,
    "aten.sort.stable": 2,
    "aten.topk.default": 2,
    "aten.scatter.value": 1,
    "aten.scatter.src": 1,
    "aten.scatter_add.default": 1,
}


# Values that are looked at, each at one place. A reduction of reductions of reductions multiplies
# them: a transformer's block has some thousands.
MOST = 6_000


class NoForm(Exception):
    """A graph has no normal form; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """An output: `value` is its element at the row-major position `at`."""

    name: str
    dtype: DType
    at: Index
    value: Expr


class Elements(Values):
    """A graph as the source of elements; the `Puller` of the operator tables.

    `scalars` are the inputs that are given by value, with their types.
    """

    def __init__(self, graph: Graph, scalars: Mapping[str, DType]) -> None:
        super().__init__(graph, scalars)
        self.wholes = Wholes()
        self.maker = self.wholes.maker
        self._pulled: dict[tuple[str, tuple[Index, ...]], Expr] = {}
        self._count = 0

    def stores(self, names: Sequence[str]) -> list[Store]:
        """What is written into the outputs, which the problem calls `names`.

        Raises:
            NoForm: the graph cannot be read.
        """
        try:
            outputs = zip(names, self.graph.outputs, strict=True)
            return [self._store(name, value) for name, value in outputs]
        except (NoSketch, RecursionError, ValueError, KeyError) as error:
            raise NoForm(f"The graph has no normal form: {error}") from error

    def _store(self, name: str, value: str) -> Store:
        shape = self.shape(value)
        own = self._variables(shape)
        at, body = flattened(own, shape), self.pull(value, own, None)
        bound, (at,), (body,) = self.wholes.joined(variables_of(own), (at,), (body,))
        names = {old: Var(f"o{place}", old.extent) for place, old in enumerate(bound)}
        renaming = Renaming(names)
        return Store(
            name=name,
            dtype=self.dtype(value),
            at=self.wholes.index(at, renaming),
            value=self.wholes.rebuilt(body, renaming, {}),
        )

    # What the tables ask for.

    def pull(self, name: str, at: tuple[Index, ...], guard: Expr | None) -> Expr:  # noqa: ARG002
        """The element of value `name` at `at`. Where it is needed changes nothing of what it is,
        so guards are left out."""
        key = (name, at)
        if key not in self._pulled:
            if len(self._pulled) >= MOST:
                raise NoForm("The graph has no normal form: written out, it is too large.")
            self._pulled[key] = self._made(name, at)
        return self._pulled[key]

    def reduced(self, what: Reduction, at: tuple[Index, ...], guard: Expr | None) -> Expr:  # noqa: ARG002
        """A reduction's result at `at`, an index into the dimensions that it keeps."""
        kept = iter(at)
        lines = self._variables(what.shape)
        own = tuple(lines[d] if d in what.dims else next(kept) for d in range(len(what.shape)))
        dtype: DType = "int64" if what.kind in ("argmax", "argmin") else what.dtype
        bound = variables_of([lines[d] for d in what.dims])
        return self.wholes.make(what.kind, dtype, bound, (what.source(own),))

    def _made(self, name: str, at: tuple[Index, ...]) -> Expr:
        dtype = self.dtype(name)
        if name in self._scalars:
            return self.maker.make(Scalar(name), computed_in(dtype))
        if name in self._inputs:
            return self.maker.make(
                Load(name, flattened(at, self.shape(name)), None), computed_in(dtype)
            )
        site = Site(graph=self, node=self._nodes[name], at=at)
        return self._narrowed(self.maker.cast(self._element(site), dtype), dtype)

    def _narrowed(self, value: Expr, dtype: DType) -> Expr:
        """`value` rounded to the narrow `dtype` of the program, unless it is a value of it."""
        if dtype not in NARROW:
            return value
        match value.form:
            case Cast(through=through) if through == dtype:
                return value
            case Load(tensor=tensor) if self.dtype(tensor) == dtype:
                return value
        return self.maker.rounded(value, dtype)

    def _element(self, site: Site) -> Expr:
        node = site.node
        if node.op in _RULES:
            return _RULES[node.op](site)
        if node.op != "getitem":
            return self._kept(site, node, None)
        source = node.args[0]
        producer = self._nodes[source.ref]
        if producer.op in _PIECES:
            return _PIECES[producer.op](site, producer)
        return self._kept(site, producer, node.args[1])

    # Operators that stay whole.

    def _kept(self, site: Site, node: Node, piece: int | None) -> Expr:
        """An element of the result of an operator that no table has; `piece` is which result."""
        op = node.op if piece is None else f"{node.op}[{piece}]"
        dtype = site.dtype
        if node.op in _ALONG and (line := self._line(site, node, op, dtype)) is not None:
            return line
        tensors: list[Expr] = []
        literals = tuple(
            self._literal(value, tensors) for value in (*node.args, *sorted(node.kwargs.items()))
        )
        return self.wholes.make(op, dtype, (), tuple(tensors), site.at, literals)

    def _line(self, site: Site, node: Node, op: str, dtype: DType) -> Expr | None:
        """The same for one that treats lines by themselves, if all its tensors have as many."""
        place = _ALONG[node.op]
        # A dimension that is left out is the last; `topk` and `sort` allow that.
        asked = node.args[place] if len(node.args) > place else node.kwargs.get("dim", -1)
        dim = site.dim(asked, len(site.at))
        others = [e for d, e in enumerate(site.shape) if d != dim]
        parts: list[Expr] = []
        literals: list[Any] = []
        for at, value in enumerate(node.args):
            if not isinstance(value, Ref):
                literals.append("dim" if at == place else value)
                continue
            shape = self.shape(value.ref)
            if [e for d, e in enumerate(shape) if d != dim] != others:
                return None
            (line,) = self._variables([shape[dim]])
            own = (*site.at[:dim], line, *site.at[dim + 1 :])
            # Each tensor has a line of its own, and so its own variable.
            parts.append(
                self.wholes.make(
                    "line", "int64", variables_of([line]), (self.pull(value.ref, own, None),)
                )
            )
            literals.append("tensor")
        rest = tuple((k, v) for k, v in sorted(node.kwargs.items()) if k != "dim")
        return self.wholes.make(op, dtype, (), tuple(parts), (site.at[dim],), (*literals, *rest))

    def _literal(self, value: Any, tensors: list[Expr]) -> Any:
        """An argument of an operator that stays whole; a tensor goes to `tensors`, all of it."""
        if isinstance(value, Ref):
            shape = self.shape(value.ref)
            own = self._variables(shape)
            sizes = tuple(self.maker.make(Position(index(s)), "int64") for s in shape)
            whole = (self.pull(value.ref, own, None), *sizes)
            # The dimensions of a tensor have an order, so each names its place.
            tensors.append(self.wholes.make("elements", "int64", variables_of(own), whole, own))
            return "tensor"
        if isinstance(value, Extent):
            if value.power == 1.0:
                sized = self.maker.make(
                    Position(index(Poly.from_extent(value, self.parts))), "int64"
                )
            else:
                sized = self.maker.constant(value, "float32")
            tensors.append(sized)
            return "size"
        if isinstance(value, Special):
            return value.special
        if isinstance(value, tuple):
            return tuple(self._literal(v, tensors) for v in value)
        if isinstance(value, bool | int | str) or value is None:
            return value
        if isinstance(value, float):
            tensors.append(self.maker.constant(value, "float64"))
            return "number"
        raise NoForm(f"The graph has no normal form: {value!r} stands in it.")

    # Variables and what they are bound by.

    def _variables(self, shape: Sequence[Poly]) -> tuple[Index, ...]:
        """A new variable for each dimension that has more than one element."""
        self._count += 1
        return tuple(index(Var(f"?{self._count}.{d}", e)) for d, e in enumerate(shape))


def elements_of(shape: Shape) -> Poly:
    """How many elements a tensor of `shape` has."""
    return product(list(shape)) if shape else ONE
