"""The table of operators that sum products: matrix products and convolutions.

Each is a `Reduction` with `Factors`. A renderer that knows no better computes every sum on its own,
and one that does packs the factors and multiplies tiles.
"""

from __future__ import annotations

from collections.abc import Callable

from kernelwright.knowledge.sketches.expr import Expr
from kernelwright.knowledge.sketches.index import Index, split
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.site import (
    Factors,
    NoSketch,
    Reduction,
    Shape,
    Site,
    Source,
    inside,
    uncovered,
)

Rule = Callable[[Site], Expr]


def _summed(
    site: Site, shape: Shape, dims: tuple[int, ...], factors: Factors, at: tuple[Index, ...]
) -> Expr:
    """The sum over `dims` of the product of `factors`, at an index into the other dimensions."""

    def product(element: tuple[Index, ...]) -> Expr:
        return site.maker.call("mul", factors.left(element), factors.right(element))

    what = Reduction(
        key=f"product.{site.node.name}",
        kind="sum",
        shape=shape,
        dims=dims,
        dtype=site.dtype,
        source=product,
        factors=factors,
    )
    return site.graph.reduced(what, at, site.guard)


def _of(site: Site, name: str, at: Callable[[tuple[Index, ...]], tuple[Index, ...]]) -> Source:
    """The elements of `name` in the type of the result; `at` says which."""

    def element(where: tuple[Index, ...]) -> Expr:
        return site.maker.cast(site.graph.pull(name, at(where), None), site.dtype)

    return element


def _matrices(site: Site, left: str, right: str) -> Expr:
    """``[*batch, rows, inner] @ [*batch, inner, columns]``, as [*batch, rows, columns, inner]."""
    first, last = site.graph.shape(left), site.graph.shape(right)
    row = len(first) - 2
    factors = Factors(
        left=_of(site, left, lambda at: (*at[:row], at[row], at[row + 2])),
        right=_of(site, right, lambda at: (*at[:row], at[row + 2], at[row + 1])),
        rows=(row,),
        columns=(row + 1,),
    )
    return _summed(site, (*first[:-1], last[-1], first[-1]), (row + 2,), factors, site.at)


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


def _convolution(site: Site) -> Expr:
    """A sum over [in channels of a group, *window] for each of [batch, groups, out channels of a
    group, *places]."""
    image, kernel, bias = site.tensor(0), site.tensor(1), site.argument(2)
    found = _windows(site, image, kernel)
    if bias is None:
        return found
    own = site.graph.pull(bias.ref, (site.at[1],), site.guard)
    return site.maker.call("add", found, site.maker.cast(own, site.dtype))


def _windows(site: Site, image: str, kernel: str) -> Expr:
    strides, padding, dilation, transposed, _, asked = (site.argument(n) for n in range(3, 9))
    if transposed:
        raise NoSketch(f"No sketch covers a transposed convolution (node {site.node.name}).")
    given, weights = site.graph.shape(image), site.graph.shape(kernel)
    places, window, groups = site.shape[2:], weights[2:], site.size(asked)
    own = weights[0] / groups
    numbers = (*strides, *dilation, *padding)
    if own is None or not all(isinstance(n, int) for n in numbers):
        raise uncovered(site.node)
    each, count = weights[1], len(places)
    ends = 3 + count  # where the places end in the shape, and the summed dimensions begin

    def weight(at: tuple[Index, ...]) -> tuple[Index, ...]:
        return (at[1] * own + at[2], *at[ends:])

    def seen(at: tuple[Index, ...]) -> Expr:
        position = [at[0], at[1] * each + at[ends]]
        guard: Expr | None = None
        for n in range(count):
            before = Poly.number(padding[n])
            step = at[3 + n] * strides[n] + at[ends + 1 + n] * dilation[n]
            position.append(step + before * -1)
            if _reaches(places[n], window[n], given[2 + n], strides[n], dilation[n], padding[n]):
                here = inside(site, step, before, before + given[2 + n])
                guard = here if guard is None else site.maker.call("logical_and", guard, here)
        found = site.maker.cast(site.graph.pull(image, tuple(position), guard), site.dtype)
        if guard is None:
            return found
        return site.maker.call("where", guard, found, site.maker.constant(0.0, site.dtype))

    factors = Factors(
        left=_of(site, kernel, weight),
        right=seen,
        rows=(2,),
        columns=tuple(range(3, ends)),
    )
    shape = (given[0], groups, own, *places, each, *window)
    group, channel = split(site.at[1], (groups, own))
    kept = (site.at[0], group, channel, *site.at[2:])
    return _summed(site, shape, tuple(range(ends, len(shape))), factors, kept)


def _reaches(
    places: Poly, window: Poly, extent: Poly, stride: int, dilation: int, padding: int
) -> bool:
    """Whether a window may lie beyond the edge of what is given, where there is only padding."""
    if padding != 0:
        return True
    last = (places - 1) * stride + (window - 1) * dilation
    return not (extent - last - 1).never_negative


CONTRACTIONS: dict[str, Rule] = {
    "aten.mm.default": _product,
    "aten.bmm.default": _product,
    "aten.addmm.default": _added,
    "aten.baddbmm.default": _added,
    "aten.convolution.default": _convolution,
}
