"""What a rule of the operator tables sees: one operator of the graph, at one element.

The tables (`pointwise`, `views`, `reductions` and those beside them) are written against this;
`lowering` provides it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from kernelwright.core.graph import Extent, Node, Ref, Special, Unexplained
from kernelwright.core.problem import DType
from kernelwright.knowledge.sketches.expr import Expr, Maker, Position, computed_in
from kernelwright.knowledge.sketches.index import Index, index
from kernelwright.knowledge.sketches.poly import ONE, Part, Poly, product

Shape = tuple[Poly, ...]
Kind = Literal["sum", "prod", "max", "min", "argmax", "argmin", "any", "all"]


class NoSketch(Exception):
    """No sketch covers the graph; the message is the sentence that says why."""


Source = Callable[[tuple[Index, ...]], Expr]
# How a tensor is read at an index: zero where the condition does not hold, if there is one.
Reader = Callable[[tuple[Index, ...], Expr | None], Expr]


@dataclass(frozen=True, kw_only=True, eq=False)
class Packing:
    """How a factor may be copied so that what is summed lies side by side.

    `source` gives the element of the copy at an index into its `shape`, and `read` the factor, at
    an index into the shape of the reduction, from how the copy is read.
    """

    shape: Shape
    source: Source
    read: Callable[[tuple[Index, ...], Reader], Expr]


@dataclass(frozen=True, kw_only=True, eq=False)
class Factors:
    """What is multiplied before it is summed, as in a matrix product, at an index into the shape.

    `left` is the same along the dimensions `columns`, and `right` along `rows`. Along `taps`, which
    are among those that are summed, there are few elements, as in a convolution's window. `packing`
    is for the left factor and the right one.
    """

    left: Source
    right: Source
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    packing: tuple[Packing, Packing]
    taps: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WindowCount:
    """A size that follows from others as the number of windows in a dimension does.

    `extent` elements, padding among them, in windows that reach over `reach` of them and begin
    `stride` apart. If `begins` is given, a last window that ends outside also counts, where it
    begins within so many elements.
    """

    extent: Poly
    reach: Poly
    stride: Poly
    begins: Poly | None = None

    @property
    def axes(self) -> set[str]:
        """The axes that it follows from."""
        given = (self.extent, self.reach, self.stride, self.begins or ONE)
        return {axis for poly in given for axis in poly.axes}

    def text(self, names: Mapping[str, str]) -> str:
        """The number as Python, with the axes called by `names`.

        >>> height = Poly.axis("height")
        >>> WindowCount(extent=height + 2, reach=Poly.number(3), stride=Poly.number(2)).text({})
        '(height - 1) // 2 + 1'
        """
        step = self.stride.text(names, "//")
        step = step if self.stride.constant is not None else f"({step})"
        rest = self.extent - self.reach
        whole = f"({rest.text(names, '//')}) // {step} + 1"
        if self.begins is None:
            return whole
        also = f"({(rest + self.stride - 1).text(names, '//')}) // {step} + 1"
        return f"min({also}, ({(self.begins - 1).text(names, '//')}) // {step} + 1)"


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduction:
    """Elements of `shape` brought together over `dims`, by the primitive `kind`.

    `source` gives the element at an index into `shape`. `dtype` is the result's, in which the
    elements are also brought together, but for `argmax` and `argmin`, whose result is a position
    along the reduced dimensions. `counts` are sizes of the result that are numbers of windows. One
    that `may_be_written_out` is an expression and no loop if it has few elements. A sum of products
    has `factors`.

    A `running` one has a result at every element: what it and those before it come to.
    """

    key: str
    kind: Kind
    shape: Shape
    dims: tuple[int, ...]
    dtype: DType
    source: Source
    factors: Factors | None = None
    counts: tuple[tuple[Poly, WindowCount], ...] = ()
    may_be_written_out: bool = False
    running: bool = False

    @property
    def rank(self) -> int:
        """How many dimensions there are, reduced or not."""
        return len(self.shape)

    @property
    def kept(self) -> tuple[int, ...]:
        """The dimensions that remain."""
        rank = range(self.rank)
        return tuple(d for d in rank if self.running or d not in self.dims)

    @property
    def count(self) -> Poly:
        """How many elements go into one result."""
        return product([self.shape[d] for d in self.dims])


class Puller(Protocol):
    """The graph, as the source of elements of any of its values."""

    maker: Maker

    @property
    def parts(self) -> Mapping[str, Part]:
        """What each axis is known to be a multiple of."""
        ...

    def pull(self, name: str, at: tuple[Index, ...], guard: Expr | None) -> Expr:
        """The element of value `name` at `at`; `guard` says when it is needed."""
        ...

    def shape(self, name: str) -> Shape:
        """The shape of value `name`."""
        ...

    def dtype(self, name: str) -> DType:
        """The dtype of value `name`."""
        ...

    def reduced(self, what: Reduction, at: tuple[Index, ...], guard: Expr | None) -> Expr:
        """The result of a reduction, at an index into the dimensions that it keeps."""
        ...


@dataclass(frozen=True, kw_only=True)
class Site:
    """Operator `node` at element `at` of its result, needed where `guard` holds."""

    graph: Puller
    node: Node
    at: tuple[Index, ...]
    guard: Expr | None = None

    @property
    def maker(self) -> Maker:
        """The maker of this graph's expressions."""
        return self.graph.maker

    @property
    def dtype(self) -> DType:
        """The type that the result is computed in."""
        return computed_in(self.node.dtype or "float32")

    @property
    def shape(self) -> Shape:
        """The shape of the result."""
        return tuple(self.size(s) for s in self.node.shape)

    def argument(self, place: int, name: str = "", default: Any = None) -> Any:
        """Argument `place`, or `name` among the keywords, as it stands in the graph."""
        if place < len(self.node.args):
            return self.node.args[place]
        return self.node.kwargs.get(name, default)

    def tensor(self, place: int) -> str:
        """The name of the value that argument `place` is."""
        found = self.argument(place)
        if not isinstance(found, Ref):
            raise uncovered(self.node)
        return found.ref

    def operand(self, value: Any, dtype: DType | None = None) -> Expr:
        """An argument as an element: a tensor broadcast to the result's shape, or a number."""
        target = dtype or self.dtype
        if isinstance(value, Ref):
            at = broadcast(self.at, self.graph.shape(value.ref))
            return self.maker.cast(self.graph.pull(value.ref, at, self.guard), target)
        if isinstance(value, Unexplained):
            raise NoSketch(
                f"No sketch covers {self.node.op} (node {self.node.name}): it uses a number that "
                "changes with the sizes in a way that is not understood."
            )
        if isinstance(value, Special):
            value = value.value
        if not isinstance(value, bool | int | float | Extent):
            raise uncovered(self.node)
        if target in ("float32", "float64") and not isinstance(value, Extent):
            value = float(value)
        return self.maker.constant(value, target)

    def pull(self, name: str, at: Sequence[Index], guard: Expr | None = None) -> Expr:
        """The element of `name` at `at`, in the type of this result."""
        found = self.graph.pull(name, tuple(at), self.both(guard))
        return self.maker.cast(found, self.dtype)

    def both(self, guard: Expr | None) -> Expr | None:
        """`guard` where this site's own guard holds."""
        if guard is None or self.guard is None:
            return guard or self.guard
        return self.maker.call("logical_and", self.guard, guard)

    def condition(self, name: str, at: Index, limit: Poly) -> Expr:
        """How the position `at` compares (`lt`, `ge`, ...) with `limit`."""
        position = self.maker.make(Position(at), "int64")
        bound = self.maker.make(Position(index(limit)), "int64")
        return self.maker.call(name, position, bound, dtype="bool")

    def size(self, value: Any) -> Poly:
        """An argument that is a size."""
        return size(value, self.node, self.graph.parts)

    def dim(self, value: int, rank: int) -> int:
        """A dimension, counted from the front."""
        return value + rank if value < 0 else value


def size(value: Any, node: Node, parts: Mapping[str, Part]) -> Poly:
    """A size in `node` as a polynomial in the axes, which are multiples of `parts`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Poly.number(value)
    if isinstance(value, Extent) and value.power == 1.0:
        return Poly.from_extent(value, parts)
    if isinstance(value, Unexplained):
        raise NoSketch(
            f"No sketch covers {node.op} (node {node.name}): one of its sizes does not follow "
            "from the axes in a way that is understood."
        )
    raise uncovered(node)


def uncovered(node: Node) -> NoSketch:
    """The reason that names the operator."""
    return NoSketch(f"No sketch covers {node.op} (node {node.name}).")


def broadcast(at: tuple[Index, ...], shape: Shape) -> tuple[Index, ...]:
    """The element of a tensor of `shape` that is used for element `at` of a larger one."""
    last = at[len(at) - len(shape) :]
    return tuple(
        index(0) if extent == ONE else each for each, extent in zip(last, shape, strict=True)
    )
