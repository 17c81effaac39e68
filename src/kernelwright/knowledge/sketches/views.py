"""The table of operators that only move elements: where each element of the result comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kernelwright.core.graph import Node, Ref
from kernelwright.knowledge.sketches.expr import Expr, Position
from kernelwright.knowledge.sketches.index import Index, divided, flattened, index, split
from kernelwright.knowledge.sketches.poly import ZERO, Poly
from kernelwright.knowledge.sketches.site import Site, broadcast, uncovered

Rule = Callable[[Site], Expr]
PieceRule = Callable[[Site, Node], Expr]


def _expand(site: Site) -> Expr:
    source = site.tensor(0)
    return site.pull(source, broadcast(site.at, site.graph.shape(source)))


def _reshape(site: Site) -> Expr:
    source = site.tensor(0)
    return site.pull(source, split(flattened(site.at, site.shape), site.graph.shape(source)))


def _permute(site: Site) -> Expr:
    source, order = site.tensor(0), site.argument(1)
    at: list[Index] = [index(0)] * len(order)
    for place, dim in enumerate(order):
        at[site.dim(dim, len(order))] = site.at[place]
    return site.pull(source, at)


def _transpose(site: Site) -> Expr:
    at = list(site.at)
    first, second = (
        site.dim(site.argument(1, "dim0", 0), len(at)),
        site.dim(site.argument(2, "dim1", 1), len(at)),
    )
    at[first], at[second] = at[second], at[first]
    return site.pull(site.tensor(0), at)


def _unsqueeze(site: Site) -> Expr:
    at = list(site.at)
    del at[site.dim(site.argument(1), len(at))]
    return site.pull(site.tensor(0), at)


def _squeeze(site: Site) -> Expr:
    source = site.tensor(0)
    shape = site.graph.shape(source)
    asked = site.argument(1, "dim", tuple(range(len(shape))))
    dims = {site.dim(d, len(shape)) for d in (asked if isinstance(asked, tuple) else (asked,))}
    kept, at = iter(site.at), []
    for place, extent in enumerate(shape):
        at.append(index(0) if place in dims and extent.constant == 1 else next(kept))
    return site.pull(source, at)


def _moved(site: Site, dim: int, start: Poly, step: int = 1) -> Expr:
    at = list(site.at)
    at[dim] = at[dim] * step + start
    return site.pull(site.tensor(0), at)


def _slice(site: Site) -> Expr:
    shape = site.graph.shape(site.tensor(0))
    dim = site.dim(site.argument(1, "dim", 0), len(shape))
    start = _from_front(site.size(site.argument(2, "start") or 0), shape[dim])
    return _moved(site, dim, start, site.argument(4, "step", 1))


def _from_front(start: Poly, extent: Poly) -> Poly:
    return start + extent if start.constant is not None and start.constant < 0 else start


def _select(site: Site) -> Expr:
    source = site.tensor(0)
    shape, at = site.graph.shape(source), list(site.at)
    dim = site.dim(site.argument(1), len(shape))
    at.insert(dim, index(_from_front(site.size(site.argument(2)), shape[dim])))
    return site.pull(source, at)


def _flip(site: Site) -> Expr:
    at, shape = list(site.at), site.shape
    for dim in site.argument(1):
        place = site.dim(dim, len(at))
        at[place] = at[place] * -1 + (shape[place] - 1)
    return site.pull(site.tensor(0), at)


def _repeat(site: Site) -> Expr:
    source = site.tensor(0)
    shape = site.graph.shape(source)
    last = site.at[len(site.at) - len(shape) :]
    return site.pull(source, [divided(i, n)[1] for i, n in zip(last, shape, strict=True)])


def _cat(site: Site) -> Expr:
    sources: Sequence[Ref] = [s for s in site.argument(0) if _elements(site, s) != ZERO]
    dim = site.dim(site.argument(1, "dim", 0), len(site.at))
    starts = [ZERO]
    for source in sources:
        starts.append(starts[-1] + site.graph.shape(source.ref)[dim])
    found: Expr | None = None
    for source, start, end in reversed(list(zip(sources, starts, starts[1:], strict=False))):
        at = list(site.at)
        at[dim] = at[dim] + start * -1
        # Nothing lies before the first source or behind the last one.
        after = None if start == ZERO else site.condition("ge", site.at[dim], start)
        if found is None:
            found = site.pull(source.ref, at, after)
            continue
        inside = site.condition("lt", site.at[dim], end)
        guard = inside if after is None else site.maker.call("logical_and", after, inside)
        found = site.maker.call("where", inside, site.pull(source.ref, at, guard), found)
    if found is None:
        raise uncovered(site.node)
    return found


def _elements(site: Site, source: Ref) -> Poly:
    total = Poly.number(1)
    for extent in site.graph.shape(source.ref):
        total = total * extent
    return total


def _pad(site: Site) -> Expr:
    source, widths = site.tensor(0), site.argument(1)
    shape, at, guard = site.graph.shape(source), list(site.at), None
    for pair in range(len(widths) // 2):
        dim = len(shape) - 1 - pair
        before = site.size(widths[2 * pair])
        at[dim] = at[dim] + before * -1
        low = site.condition("ge", site.at[dim], before)
        high = site.condition("lt", site.at[dim], before + shape[dim])
        inside = site.maker.call("logical_and", low, high)
        guard = inside if guard is None else site.maker.call("logical_and", guard, inside)
    if guard is None:
        return site.pull(source, at)
    fill = site.operand(site.argument(2, "value", 0))
    return site.maker.call("where", guard, site.pull(source, at, guard), fill)


def _read(site: Site, name: str, at: Sequence[Index], extent: Poly | None) -> Index:
    """An index that the kernel reads from tensor `name`; negative ones count from `extent`."""
    found = site.maker.cast(site.graph.pull(name, tuple(at), site.guard), "int64")
    if extent is not None:
        zero = site.maker.constant(0, "int64")
        bound = site.maker.make(Position(index(extent)), "int64")
        negative = site.maker.call("lt", found, zero, dtype="bool")
        wrapped = site.maker.call("add", found, bound)
        found = site.maker.call("where", negative, wrapped, found)
    return index(site.maker.data(found))


def _gather(site: Site) -> Expr:
    at = list(site.at)
    dim = site.dim(site.argument(1), len(at))
    at[dim] = _read(site, site.tensor(2), site.at, None)
    return site.pull(site.tensor(0), at)


def _index_select(site: Site) -> Expr:
    at = list(site.at)
    dim = site.dim(site.argument(1), len(at))
    at[dim] = _read(site, site.tensor(2), [site.at[dim]], None)
    return site.pull(site.tensor(0), at)


def _embedding(site: Site) -> Expr:
    rows = _read(site, site.tensor(1), site.at[:-1], None)
    return site.pull(site.tensor(0), [rows, site.at[-1]])


def _index(site: Site) -> Expr:
    """Advanced indexing: the index tensors broadcast together and stand where the first of them
    does, or in front if something lies between them."""
    source, asked = site.tensor(0), list(site.argument(1))
    shape = site.graph.shape(source)
    asked += [None] * (len(shape) - len(asked))
    places = [p for p, a in enumerate(asked) if a is not None]
    shapes = {p: site.graph.shape(asked[p].ref) for p in places}
    rank = max(len(s) for s in shapes.values())
    adjacent = places == list(range(places[0], places[-1] + 1))
    front = places[0] if adjacent else 0
    shared, plain = site.at[front : front + rank], iter(site.at[:front] + site.at[front + rank :])
    at = []
    for place, each in enumerate(asked):
        if each is None:
            at.append(next(plain))
        else:
            own = broadcast(tuple(shared), shapes[place])
            at.append(_read(site, each.ref, own, shape[place]))
    return site.pull(source, at)


def _split_piece(site: Site, producer: Node) -> Expr:
    """A result of ``split``: whole pieces of one size, or pieces of given sizes."""
    of = Site(graph=site.graph, node=producer, at=site.at, guard=site.guard)
    source, asked, number = of.tensor(0), of.argument(1), site.argument(1)
    shape = site.graph.shape(source)
    dim = site.dim(of.argument(2, "dim", 0), len(shape))
    sizes = asked[:number] if isinstance(asked, tuple) else [asked] * number
    at = list(site.at)
    for each in sizes:
        at[dim] = at[dim] + of.size(each)
    return site.pull(source, at)


def _unbound(site: Site, producer: Node) -> Expr:
    of = Site(graph=site.graph, node=producer, at=site.at, guard=site.guard)
    source, at = of.tensor(0), list(site.at)
    at.insert(site.dim(of.argument(1, "dim", 0), len(at) + 1), index(site.argument(1)))
    return site.pull(source, at)


# Operators with several results: what one of them, a ``getitem`` node, is.
PIECES: dict[str, PieceRule] = {
    "aten.split_with_sizes.default": _split_piece,
    "aten.split.Tensor": _split_piece,
    "aten.unbind.int": _unbound,
}

VIEWS: dict[str, Rule] = {
    "aten.expand.default": _expand,
    **{
        f"aten.{name}.default": _reshape
        for name in ("view", "reshape", "_unsafe_view", "view_copy", "flatten")
    },
    "aten.permute.default": _permute,
    "aten.transpose.int": _transpose,
    "aten.t.default": _transpose,
    "aten.unsqueeze.default": _unsqueeze,
    **{f"aten.squeeze.{overload}": _squeeze for overload in ("default", "dim", "dims")},
    "aten.slice.Tensor": _slice,
    "aten.select.int": _select,
    "aten.flip.default": _flip,
    "aten.repeat.default": _repeat,
    "aten.cat.default": _cat,
    "aten.constant_pad_nd.default": _pad,
    "aten.gather.default": _gather,
    "aten.index_select.default": _index_select,
    "aten.embedding.default": _embedding,
    "aten.index.Tensor": _index,
}
