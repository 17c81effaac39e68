"""The table of operators that take a float apart, into a fraction and a power of two.

The library's normal form keeps these operators whole and does not read this table.
"""

from __future__ import annotations

from collections.abc import Callable

from kernelwright.core.graph import Node
from kernelwright.knowledge.sketches.expr import Expr, computed_in
from kernelwright.knowledge.sketches.site import Site

PieceRule = Callable[[Site, Node], Expr]


def _frexp(site: Site, producer: Node) -> Expr:
    """The results of ``frexp``: a fraction from 1/2 up to 1, and the exponent of two.

    Zero, infinities and NaN are their own fraction, with the exponent 0.
    """
    of = Site(graph=site.graph, node=producer, at=site.at, guard=site.guard)
    source = of.tensor(0)
    value = of.operand(of.argument(0), computed_in(of.graph.dtype(source)))
    if site.argument(1) == 0:
        return site.maker.call("frexp_fraction", value)
    return site.maker.call("frexp_exponent", value, dtype="int32")


FLOAT_PIECES: dict[str, PieceRule] = {"aten.frexp.Tensor": _frexp}
