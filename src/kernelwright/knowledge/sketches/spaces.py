"""The space that a reduction is over, in loops of rows or in those of a matrix product."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kernelwright.knowledge.sketches.expr import Maker, walk
from kernelwright.knowledge.sketches.index import (
    Index,
    Quotient,
    Remainder,
    Var,
    atoms,
    index,
)
from kernelwright.knowledge.sketches.poly import ONE, Poly, product
from kernelwright.knowledge.sketches.site import Factors, Reduction, Shape
from kernelwright.knowledge.sketches.stages import Role, Space, Stage


def space_of(what: Reduction) -> Space:
    """The dimensions of `what` that have more than one element."""
    dims = [d for d in range(len(what.shape)) if what.shape[d] != ONE]
    return Space(
        shape=tuple(what.shape[d] for d in dims),
        reduced=tuple(d in what.dims for d in dims),
        joined=min(1, len(dims)),
    )


def sided(what: Reduction, factors: Factors) -> Space:
    """The space of a matrix product: the last of the dimensions of `factors.columns` is the columns
    of a tile, and the others are blocks of them."""
    columns = [d for d in factors.columns if what.shape[d] != ONE][-1:]

    def side(dim: int) -> Role:
        if dim in what.dims:
            return "depth"
        if dim in factors.rows:
            return "left"
        if dim in columns:
            return "right"
        return "block" if dim in factors.columns else "batch"

    return _by_side(what, side)


def packed_space(what: Reduction, factors: Factors) -> Space:
    """The space of a matrix product of packed factors: all of `factors.columns` are the columns of
    a tile, and the taps have a loop of their own."""

    def side(dim: int) -> Role:
        if dim in what.dims:
            return "tap" if dim in factors.taps else "depth"
        if dim in factors.rows:
            return "left"
        return "right" if dim in factors.columns else "batch"

    return _by_side(what, side)


def _by_side(what: Reduction, side: Callable[[int], Role]) -> Space:
    """The dimensions of `what` that have more than one element, in the loops that `side` says."""
    space = space_of(what)
    dims = [d for d in range(len(what.shape)) if what.shape[d] != ONE]
    return Space(shape=space.shape, reduced=space.reduced, sides=tuple(map(side, dims)))


def spread(what: Reduction, at: Sequence[Index]) -> tuple[Index, ...]:
    """`at` with a zero put in for each dimension of size one."""
    rest = iter(at)
    return tuple(index(0) if s == ONE else next(rest) for s in what.shape)


def own_lane(shape: Shape, space: Space) -> Var | None:
    """The loop over what follows the rows in `shape`, if the rows come first in both."""
    if not space.in_rows or list(space.roles) != sorted(
        space.roles, key=["row", "depth", "lane"].index
    ):
        return None
    rows, rest = space.var("row").extent, [s for s in shape if s != ONE]
    taken: list[Poly] = []
    while rest and product(taken) != rows:
        taken.append(rest.pop(0))
    if product(taken) != rows or not rest:
        return None
    return Var("own", product(rest))


def follows_memory(maker: Maker, stage: Stage) -> bool:
    """Whether no index divides the innermost loop variable, so that neighbours stay neighbours."""
    values = [f.value for each in (*stage.passes, stage.scans) for f in each]
    values += [s.value for s in stage.stores if s.span == "elements"]
    return not any(
        isinstance(atom, Quotient | Remainder) and stage.lane in atoms(atom.of)
        for expr in walk(maker, values)
        for at in expr.indices
        for atom in atoms(at)
    )
