"""The table of matrix products: what one element of each is, as a sum of products."""

from __future__ import annotations

from collections.abc import Callable

from kernelwright.knowledge.sketches.expr import Expr
from kernelwright.knowledge.sketches.index import Index
from kernelwright.knowledge.sketches.site import Reduction, Site

Rule = Callable[[Site], Expr]


def _product(site: Site, left: int, right: int) -> Expr:
    """Element of the product of two arguments, with the dimensions before the last two shared."""
    first, second = site.tensor(left), site.tensor(right)
    depth = site.graph.shape(first)[-1]
    # A vector has no row or no column.
    rows = len(site.graph.shape(first)) > 1
    columns = len(site.graph.shape(second)) > 1
    shared = len(site.at) - rows - columns

    def term(at: tuple[Index, ...]) -> Expr:
        k, outer = at[-1], at[:-1]
        batch, rest = outer[:shared], list(outer[shared:])
        row = [rest.pop(0)] if rows else []
        ours = site.maker.cast(site.graph.pull(first, (*batch, *row, k), None), site.dtype)
        theirs = site.maker.cast(site.graph.pull(second, (*batch, k, *rest), None), site.dtype)
        return site.maker.call("mul", ours, theirs)

    shape = (*site.shape, depth)
    what = Reduction(
        key=f"product.{site.node.name}",
        kind="sum",
        shape=shape,
        dims=(len(shape) - 1,),
        dtype=site.dtype,
        source=term,
    )
    return site.graph.reduced(what, site.at, site.guard)


def _plain(site: Site) -> Expr:
    return _product(site, 0, 1)


def _added(site: Site) -> Expr:
    """``beta * bias + alpha * (a @ b)``."""
    base, product = site.operand(site.argument(0)), _product(site, 1, 2)
    for name, place in (("beta", 3), ("alpha", 4)):
        factor = site.argument(place, name, 1)
        if factor != 1:
            scaled = site.operand(factor)
            if name == "beta":
                base = site.maker.call("mul", scaled, base)
            else:
                product = site.maker.call("mul", scaled, product)
    return site.maker.call("add", base, product)


PRODUCTS: dict[str, Rule] = {
    **{f"aten.{name}.default": _plain for name in ("mm", "bmm", "mv", "dot")},
    **{f"aten.{name}.default": _added for name in ("addmm", "baddbmm", "addmv")},
}
