"""The table of operators that sum products: matrix products and convolutions.

Each is a `Reduction` with `Factors`. A renderer that knows no better computes every sum on its own,
and one that does packs the factors and multiplies tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kernelwright.knowledge.sketches.depthwise import depthwise, is_depthwise, windows_of
from kernelwright.knowledge.sketches.expr import Expr
from kernelwright.knowledge.sketches.index import Index, split
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.site import (
    Factors,
    NoSketch,
    Packing,
    Reader,
    Reduction,
    Shape,
    Site,
    Source,
    WindowCount,
    uncovered,
)

Rule = Callable[[Site], Expr]
# An index or a size: what a dimension has one of.
Place = TypeVar("Place")


def _summed(
    site: Site,
    shape: Shape,
    dims: tuple[int, ...],
    factors: Factors,
    at: tuple[Index, ...],
    counts: tuple[tuple[Poly, WindowCount], ...] = (),
    *,
    tiled: bool = True,
) -> Expr:
    """The sum over `dims` of the product of `factors`, at an index into the other dimensions;
    whether it may be computed in tiles."""

    def product(element: tuple[Index, ...]) -> Expr:
        return site.maker.call("mul", factors.left(element), factors.right(element))

    what = Reduction(
        key=f"product.{site.node.name}",
        kind="sum",
        shape=shape,
        dims=dims,
        dtype=site.dtype,
        source=product,
        factors=factors if tiled else None,
        counts=counts,
    )
    return site.graph.reduced(what, at, site.guard)


def _of(site: Site, name: str, at: Callable[[tuple[Index, ...]], tuple[Index, ...]]) -> Source:
    """The elements of `name` in the type of the result; `at` says which."""

    def element(where: tuple[Index, ...]) -> Expr:
        return site.maker.cast(site.graph.pull(name, at(where), None), site.dtype)

    return element


def _turned(at: tuple[Place, ...]) -> tuple[Place, ...]:
    """`at` with the last two swapped."""
    *batch, row, column = at
    return (*batch, column, row)


def _matrices(site: Site, left: str, right: str) -> Expr:
    """``[*batch, rows, inner] @ [*batch, inner, columns]``, as [*batch, rows, columns, inner].

    A vector has no rows or no columns, and a product with one has no `Factors`: each element would
    be packed to be used once.
    """
    first, last = site.graph.shape(left), site.graph.shape(right)
    rows, columns = len(first) > 1, len(last) > 1
    batch = len(site.at) - rows - columns
    inner, column = len(site.at), len(site.at) - 1

    def in_left(at: tuple[Index, ...]) -> tuple[Index, ...]:
        return (*at[: batch + rows], at[inner])

    def in_turned(at: tuple[Index, ...]) -> tuple[Index, ...]:
        return (*at[:batch], *at[batch + rows :])

    def turned(at: tuple[Index, ...]) -> tuple[Index, ...]:
        return _turned(at) if columns else at

    factors = Factors(
        left=_of(site, left, in_left),
        right=_of(site, right, lambda at: turned(in_turned(at))),
        rows=(batch,),
        columns=(column,),
        packing=(
            Packing(
                shape=first,
                source=_of(site, left, lambda at: at),
                read=lambda at, load: load(in_left(at), None),
            ),
            Packing(
                shape=_turned(last) if columns else last,
                source=_of(site, right, turned),
                read=lambda at, load: load(in_turned(at), None),
            ),
        ),
    )
    return _summed(
        site, (*site.shape, first[-1]), (inner,), factors, site.at, tiled=rows and columns
    )


def _product(site: Site) -> Expr:
    return _matrices(site, site.tensor(0), site.tensor(1))


def _added(site: Site) -> Expr:
    """``beta * input + alpha * (a @ b)``; with a `beta` of zero the input is not read."""
    found = _matrices(site, site.tensor(1), site.tensor(2))
    alpha, beta = site.argument(4, "alpha", 1), site.argument(3, "beta", 1)
    if alpha != 1:
        found = site.maker.call("mul", found, site.operand(alpha))
    if beta == 0:
        return found
    term = site.operand(site.argument(0))
    if beta != 1:
        term = site.maker.call("mul", term, site.operand(beta))
    return site.maker.call("add", found, term)


def _channels_last(at: tuple[Place, ...]) -> tuple[Place, ...]:
    """[batch, channel, ...] as [batch, ..., channel]."""
    return (at[0], *at[2:], at[1])


def _channels_second(at: tuple[Place, ...]) -> tuple[Place, ...]:
    """[batch, ..., channel] as [batch, channel, ...]."""
    return (at[0], at[-1], *at[1:-1])


def _convolution(site: Site) -> Expr:
    """A sum over [in channels of a group, *window] for each of [batch, groups, out channels of a
    group, *places], or over a window alone where each channel has its own."""
    if site.argument(6):
        raise NoSketch(f"No sketch covers a transposed convolution (node {site.node.name}).")
    if is_depthwise(site):
        return depthwise(site)
    bias, found = site.argument(2), _filtered(site, site.tensor(0), site.tensor(1))
    if bias is None:
        return found
    return site.maker.call("add", found, site.pull(bias.ref, site.at[1:2]))


def _filtered(site: Site, image: str, filters: str) -> Expr:
    weights, groups = site.graph.shape(filters), site.size(site.argument(8))
    own, each, rank = weights[0] / groups, weights[1], len(weights) - 2
    if own is None:
        raise uncovered(site.node)
    windows = windows_of(site)
    ends = 3 + rank  # where the places end in the shape, and what is summed begins

    def window(at: tuple[Index, ...]) -> tuple[tuple[Index, ...], tuple[Index, ...]]:
        channel = at[1] * each + at[ends]
        return (at[0], channel, *at[3:ends]), at[ends + 1 :]

    def seen(at: tuple[Index, ...], load: Reader) -> Expr:
        place, inside = windows.seen(site, *window(at))
        return load(_channels_last(place), inside)

    def filter_at(at: tuple[Index, ...]) -> tuple[Index, ...]:
        return (at[1] * own + at[2], *at[ends:])

    factors = Factors(
        left=_of(site, filters, filter_at),
        right=lambda at: windows.element(site, image, *window(at), 0.0),
        rows=(2,),
        columns=tuple(range(3, ends)),
        packing=(
            Packing(
                shape=_channels_last(weights),
                source=_of(site, filters, _channels_second),
                read=lambda at, load: load(_channels_last(filter_at(at)), None),
            ),
            Packing(
                shape=_channels_last(site.graph.shape(image)),
                source=_of(site, image, _channels_second),
                read=seen,
            ),
        ),
        taps=tuple(range(ends + 1, ends + 1 + rank)),
    )
    group, channel = split(site.at[1], (groups, own))
    return _summed(
        site,
        (site.shape[0], groups, own, *site.shape[2:], *weights[1:]),
        tuple(range(ends, ends + 1 + rank)),
        factors,
        (site.at[0], group, channel, *site.at[2:]),
        counts=tuple((site.shape[2 + d], windows.count(d)) for d in range(rank)),
    )


# The library's normal form reads this part too.
MATRIX_PRODUCTS: dict[str, Rule] = {
    **{f"aten.{name}.default": _product for name in ("mm", "bmm", "mv", "dot")},
    **{f"aten.{name}.default": _added for name in ("addmm", "baddbmm", "addmv")},
}
CONTRACTIONS: dict[str, Rule] = {**MATRIX_PRODUCTS, "aten.convolution.default": _convolution}
