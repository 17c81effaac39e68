"""The table of operators that bring elements together: sums, extrema, positions, variances."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kernelwright.core.graph import Node
from kernelwright.core.problem import DType
from kernelwright.knowledge.sketches.expr import Expr, Position, computed_in
from kernelwright.knowledge.sketches.index import Index, index
from kernelwright.knowledge.sketches.site import Kind, Reduction, Site, uncovered

Rule = Callable[[Site], Expr]


def _dims(site: Site, asked: Any, rank: int) -> tuple[int, ...]:
    """The reduced dimensions; no dimension at all, or an empty list, means every one."""
    if asked is None or asked == ():
        return tuple(range(rank))
    listed = asked if isinstance(asked, tuple) else (asked,)
    return tuple(sorted(site.dim(d, rank) for d in listed))


def _kept_at(site: Site, rank: int, dims: tuple[int, ...]) -> tuple[Index, ...]:
    """The index of the result without the dimensions that were kept at size one."""
    if len(site.at) == rank:
        return tuple(i for d, i in enumerate(site.at) if d not in dims)
    return site.at


def _reduction(
    site: Site,
    kind: Kind,
    asked: Any,
    dtype: DType,
    *,
    part: str = "",
    source: Callable[[tuple[Index, ...]], Expr] | None = None,
) -> tuple[Reduction, tuple[Index, ...]]:
    name = site.tensor(0)
    shape = site.graph.shape(name)
    dims = _dims(site, asked, len(shape))

    def element(at: tuple[Index, ...]) -> Expr:
        return site.maker.cast(site.graph.pull(name, at, None), dtype)

    # The same elements brought together in the same way are one reduction, whoever asks.
    own = f"{name}{list(dims)}.{dtype}" if source is None else f"{site.node.name}{part}"
    what = Reduction(
        key=f"{kind}.{own}",
        kind=kind,
        shape=shape,
        dims=dims,
        dtype=dtype,
        source=source or element,
    )
    return what, _kept_at(site, len(shape), dims)


def _plain(kind: Kind, *, over_all: bool = False) -> Rule:
    """A reduction whose second argument, unless it is `over_all`, says the dimensions."""

    def rule(site: Site) -> Expr:
        asked = None if over_all else site.argument(1, "dim")
        what, at = _reduction(site, kind, asked, site.dtype)
        return site.graph.reduced(what, at, site.guard)

    return rule


def _truth(kind: Kind, *, over_all: bool = False) -> Rule:
    """``any`` and ``all`` of elements that are not zero."""

    def rule(site: Site) -> Expr:
        name = site.tensor(0)
        own = computed_in(site.graph.dtype(name))

        def element(at: tuple[Index, ...]) -> Expr:
            found = site.graph.pull(name, at, None)
            if own == "bool":
                return found
            zero = site.maker.constant(0, own)
            return site.maker.call("ne", found, zero, dtype="bool")

        asked = None if over_all else site.argument(1, "dim")
        what, at = _reduction(site, kind, asked, "bool", source=element)
        return site.graph.reduced(what, at, site.guard)

    return rule


def _position(kind: Kind) -> Rule:
    """``argmax`` and ``argmin``: elements are compared in their own type."""

    def rule(site: Site) -> Expr:
        return _found_position(site, kind, site.argument(1, "dim"))

    return rule


def _found_position(site: Site, kind: Kind, asked: Any) -> Expr:
    own = computed_in(site.graph.dtype(site.tensor(0)))
    what, at = _reduction(site, kind, asked, own)
    return site.graph.reduced(what, at, site.guard)


def _count(site: Site, what: Reduction, less: float = 0) -> Expr:
    """How many elements go into one result, less a correction, as a number of the result."""
    length = site.maker.make(Position(index(what.count)), "int64")
    count = site.maker.cast(length, site.dtype)
    if less == 0:
        return count
    zero = site.maker.constant(0.0, site.dtype)
    left = site.maker.call("sub", count, site.maker.constant(float(less), site.dtype))
    return site.maker.call("maximum", left, zero)


def _mean(site: Site, *, over_all: bool = False) -> Expr:
    asked = None if over_all else site.argument(1, "dim")
    what, at = _reduction(site, "sum", asked, site.dtype)
    total = site.graph.reduced(what, at, site.guard)
    return site.maker.call("div", total, _count(site, what))


def _correction(site: Site) -> float:
    """What is taken from the count: one unless the operator says otherwise."""
    asked = (
        site.argument(2, "unbiased", 1)
        if site.node.op == "aten.var.dim"
        else site.argument(2, "correction", 1)
    )
    if isinstance(asked, bool | int | float):
        return float(asked)
    if asked is None:
        return 1.0
    raise uncovered(site.node)


def _variance(site: Site) -> Expr:
    """The mean first, then the squares of what is left: one pass would lose digits."""
    asked, name = site.argument(1, "dim"), site.tensor(0)
    total, at = _reduction(site, "sum", asked, site.dtype, part=".mean")
    count = _count(site, total)

    def square(element_at: tuple[Index, ...]) -> Expr:
        own = tuple(element_at[d] for d in total.kept)
        mean = site.maker.call("div", site.graph.reduced(total, own, None), count)
        element = site.maker.cast(site.graph.pull(name, element_at, None), site.dtype)
        off = site.maker.call("sub", element, mean)
        return site.maker.call("mul", off, off)

    squares, _ = _reduction(site, "sum", asked, site.dtype, part=".squares", source=square)
    less = _correction(site)
    found = site.graph.reduced(squares, at, site.guard)
    return site.maker.call("div", found, _count(site, squares, less))


def _extremum_piece(value: Kind, position: Kind) -> Callable[[Site, Node], Expr]:
    """The results of ``max.dim``: the extremum, and where it is."""

    def rule(site: Site, producer: Node) -> Expr:
        of = Site(
            graph=site.graph,
            node=producer.model_copy(update={"dtype": site.node.dtype, "shape": site.node.shape}),
            at=site.at,
            guard=site.guard,
        )
        if site.argument(1) == 1:
            return _found_position(of, position, of.argument(1, "dim"))
        what, at = _reduction(of, value, of.argument(1, "dim"), of.dtype)
        return site.graph.reduced(what, at, site.guard)

    return rule


REDUCTIONS: dict[str, Rule] = {
    "aten.sum.default": _plain("sum", over_all=True),
    "aten.sum.dim_IntList": _plain("sum"),
    "aten.prod.default": _plain("prod", over_all=True),
    "aten.prod.dim_int": _plain("prod"),
    "aten.amax.default": _plain("max"),
    "aten.amin.default": _plain("min"),
    "aten.max.default": _plain("max", over_all=True),
    "aten.min.default": _plain("min", over_all=True),
    "aten.argmax.default": _position("argmax"),
    "aten.argmin.default": _position("argmin"),
    "aten.any.default": _truth("any", over_all=True),
    "aten.any.dim": _truth("any"),
    "aten.any.dims": _truth("any"),
    "aten.all.default": _truth("all", over_all=True),
    "aten.all.dim": _truth("all"),
    "aten.mean.default": partial(_mean, over_all=True),
    "aten.mean.dim": _mean,
    "aten.var.correction": _variance,
    "aten.var.dim": _variance,
}

REDUCTION_PIECES: dict[str, Callable[[Site, Node], Expr]] = {
    "aten.max.dim": _extremum_piece("max", "argmax"),
    "aten.min.dim": _extremum_piece("min", "argmin"),
}
