"""The table of operators that pool: the mean or the largest of each window of a tensor."""

from __future__ import annotations

import math
from collections.abc import Callable

from kernelwright.core.graph import Node
from kernelwright.core.problem import DType
from kernelwright.knowledge.sketches.expr import Expr, Position
from kernelwright.knowledge.sketches.index import Index, index
from kernelwright.knowledge.sketches.poly import ONE, ZERO
from kernelwright.knowledge.sketches.site import Kind, NoSketch, Site
from kernelwright.knowledge.sketches.windows import Windows, each_dimension

Rule = Callable[[Site], Expr]
PieceRule = Callable[[Site, Node], Expr]

_LOWEST: dict[DType, int] = {
    "uint8": 0, "int8": -(2**7), "int16": -(2**15), "int32": -(2**31), "int64": -(2**63),
}  # fmt: skip


def _pooled(site: Site, windows: Windows, kind: Kind, fill: float) -> Expr:
    """The elements of each window brought together, with `fill` for those outside."""

    def element(at: tuple[Index, ...], of: tuple[Index, ...]) -> Expr:
        return windows.element(site, site.tensor(0), at, of, fill)

    return windows.reduced(site, kind, element)


def _mean_of(rank: int) -> Rule:
    """``avg_pool`` in `rank` dimensions."""

    def rule(site: Site) -> Expr:
        windows = Windows(
            extents=site.graph.shape(site.tensor(0))[-rank:],
            sizes=each_dimension(site, site.argument(1), rank),
            strides=each_dimension(site, site.argument(2, "stride") or site.argument(1), rank),
            padding=each_dimension(site, site.argument(3, "padding", 0), rank),
            dilation=(ONE,) * rank,
            ceil_mode=bool(site.argument(4, "ceil_mode", False)),
        )
        total = _pooled(site, windows, "sum", 0.0)
        return site.maker.call("div", total, _divisor(site, windows))

    return rule


def _divisor(site: Site, windows: Windows) -> Expr:
    """What the sum over a window is divided by: a number, or how many elements count there."""
    override = site.argument(6, "divisor_override")
    if override is not None:
        return site.operand(override)
    padded = any(p != ZERO for p in windows.padding)
    with_padding = bool(site.argument(5, "count_include_pad", True)) or not padded
    if with_padding and not windows.ceil_mode:
        return site.maker.cast(_position(site, index(windows.elements)), site.dtype)
    return site.maker.cast(_counted(site, windows, with_padding=with_padding), site.dtype)


def _position(site: Site, at: Index) -> Expr:
    if not at.terms and at.constant.constant is not None:
        return site.maker.constant(at.constant.constant, "int64")
    return site.maker.make(Position(at), "int64")


def _counted(site: Site, windows: Windows, *, with_padding: bool) -> Expr:
    """How many elements of the window are in the tensor, or in it and its padding, as int64."""
    make, found = site.maker, site.maker.constant(1, "int64")
    begins = windows.begin(site.at[-windows.rank :])
    for begin, size, before, extent in zip(
        begins, windows.sizes, windows.padding, windows.extents, strict=True
    ):
        first, end = _position(site, begin), _position(site, begin + size)
        last = before * 2 + extent if with_padding else before + extent
        end = make.call("minimum", end, _position(site, index(last)))
        if not with_padding:
            first = make.call("maximum", first, _position(site, index(before)))
        found = make.call("mul", found, make.call("sub", end, first))
    return found


def _largest_of(rank: int) -> PieceRule:
    """The results of ``max_pool`` in `rank` dimensions: the largest elements, and where they are.

    Torch names another of equal elements than ours would, so that only the first is made.
    """

    def rule(site: Site, producer: Node) -> Expr:
        if site.argument(1) != 0:
            raise NoSketch(
                f"No sketch covers {producer.op} (node {producer.name}) where its indices are used."
            )
        # What the producer says of windows, with the type and the shape of its first result.
        own = {"dtype": site.node.dtype, "shape": site.node.shape}
        of = Site(
            graph=site.graph, node=producer.model_copy(update=own), at=site.at, guard=site.guard
        )
        windows = Windows(
            extents=site.graph.shape(of.tensor(0))[-rank:],
            sizes=each_dimension(of, of.argument(1), rank),
            strides=each_dimension(of, of.argument(2, "stride") or of.argument(1), rank),
            padding=each_dimension(of, of.argument(3, "padding", 0), rank),
            dilation=each_dimension(of, of.argument(4, "dilation", 1), rank),
            ceil_mode=bool(of.argument(5, "ceil_mode", False)),
        )
        return _pooled(of, windows, "max", _LOWEST.get(of.dtype, -math.inf))

    return rule


POOLING: dict[str, Rule] = {f"aten.avg_pool{rank}d.default": _mean_of(rank) for rank in (1, 2, 3)}

POOLING_PIECES: dict[str, PieceRule] = {
    f"aten.max_pool{rank}d_with_indices.default": _largest_of(rank) for rank in (2, 3)
}
