"""The table of operators that write where an index says, as far as they are a choice.

The library's normal form keeps these operators whole and does not read this table.
"""

from __future__ import annotations

from collections.abc import Callable

from kernelwright.core.graph import Ref
from kernelwright.knowledge.sketches.expr import Expr, Position
from kernelwright.knowledge.sketches.index import index
from kernelwright.knowledge.sketches.poly import ONE
from kernelwright.knowledge.sketches.site import NoSketch, Site

Rule = Callable[[Site], Expr]


def _scatter(site: Site) -> Expr:
    """``scatter`` of one position in each line along the dimension: what is written stands there,
    and everywhere else the input does."""
    shape, indices = site.shape, site.tensor(2)
    lines = site.graph.shape(indices)
    if not shape or len(lines) != len(shape):
        raise _refused(site, "has no dimension")
    dim = site.dim(site.argument(1), len(shape))
    if lines[dim] != ONE:
        raise _refused(site, "writes more than one element of a line")
    if any(
        ours != theirs
        for d, (ours, theirs) in enumerate(zip(shape, lines, strict=True))
        if d != dim
    ):
        raise _refused(site, "does not write into every line")
    at = (*site.at[:dim], index(0), *site.at[dim + 1 :])
    asked = site.maker.cast(site.graph.pull(indices, at, site.guard), "int64")
    here = site.maker.make(Position(site.at[dim]), "int64")
    written = site.argument(3)
    value = site.pull(written.ref, at) if isinstance(written, Ref) else site.operand(written)
    chosen = site.maker.call("eq", here, asked, dtype="bool")
    return site.maker.call("where", chosen, value, site.pull(site.tensor(0), site.at))


def _refused(site: Site, why: str) -> NoSketch:
    return NoSketch(f"No sketch covers {site.node.op} (node {site.node.name}) where it {why}.")


SCATTERING: dict[str, Rule] = {
    "aten.scatter.value": _scatter,
    "aten.scatter.src": _scatter,
}
