"""The table of scans: operators whose result at an element is what it and those before it come to.

A scan is a `Reduction` that is `running`; it keeps every dimension.
"""

from __future__ import annotations

from collections.abc import Callable

from kernelwright.core.graph import Node
from kernelwright.knowledge.sketches.expr import Expr
from kernelwright.knowledge.sketches.index import Index
from kernelwright.knowledge.sketches.poly import ONE
from kernelwright.knowledge.sketches.site import Kind, NoSketch, Reduction, Site

Rule = Callable[[Site], Expr]


def _scan(kind: Kind) -> Rule:
    """A scan along the dimension that the second argument says."""

    def rule(site: Site) -> Expr:
        return _running(site, kind)

    return rule


def _running(site: Site, kind: Kind) -> Expr:
    name = site.tensor(0)
    shape = site.graph.shape(name)
    dim = site.dim(site.argument(1, "dim"), len(shape))
    dtype = site.dtype
    if dtype == "bool":
        raise NoSketch(f"No sketch covers {site.node.op} of truth values (node {site.node.name}).")
    if not shape or shape[dim] == ONE:
        return site.pull(name, site.at)

    def element(at: tuple[Index, ...]) -> Expr:
        return site.maker.cast(site.graph.pull(name, at, None), dtype)

    what = Reduction(
        key=f"running {kind}.{name}[{dim}].{dtype}",
        kind=kind,
        shape=shape,
        dims=(dim,),
        dtype=dtype,
        source=element,
        running=True,
    )
    return site.graph.reduced(what, site.at, site.guard)


def _extremum_piece(kind: Kind) -> Callable[[Site, Node], Expr]:
    """The first result of ``cummax``, the extremum; where it is has no sketch."""

    def rule(site: Site, producer: Node) -> Expr:
        if site.argument(1) != 0:
            raise NoSketch(
                f"No sketch covers where the extremum of {producer.op} is (node {producer.name})."
            )
        of = producer.model_copy(update={"dtype": site.node.dtype, "shape": site.node.shape})
        return _running(Site(graph=site.graph, node=of, at=site.at, guard=site.guard), kind)

    return rule


SCANS: dict[str, Rule] = {
    "aten.cumsum.default": _scan("sum"),
    "aten.cumprod.default": _scan("prod"),
}

SCAN_PIECES: dict[str, Callable[[Site, Node], Expr]] = {
    "aten.cummax.default": _extremum_piece("max"),
    "aten.cummin.default": _extremum_piece("min"),
}
