"""What a region is given when it runs by itself: expressions that draw inputs like those it sees.

Floats are normal with the mean and the spread that were seen, and within the ends that were seen.
An integer that picks places is any place that there is, at every size; any other is within the ends
that were seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kernelwright.core.cut import Seen
from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Node, Ref, Size
from kernelwright.core.problem import DType
from kernelwright.problems.regions.units import Unit, op_name, refs
from kernelwright.problems.regions.wording import size_written

Shapes = Mapping[str, tuple[tuple[Size, ...], DType | None]]


@dataclass(frozen=True)
class _Pick:
    """An operator whose argument `places` picks places along a dimension of argument `of`: along
    `dim`, or along what argument `dim_at` says."""

    places: int
    of: int = 0
    dim: int = 0
    dim_at: int | None = None

    def along(self, node: Node) -> int:
        """The dimension, 0 where the call leaves it out."""
        if self.dim_at is None or self.dim_at >= len(node.args):
            return self.dim
        said = node.args[self.dim_at]
        return said if isinstance(said, int) else self.dim


_PICKS = {
    **dict.fromkeys(
        ("gather", "scatter", "scatter_add", "scatter_reduce", "index_select", "index_add"),
        _Pick(2, dim_at=1),
    ),
    "take_along_dim": _Pick(1, dim_at=2),
    "embedding": _Pick(1),
    **dict.fromkeys(("cross_entropy_loss", "nll_loss", "nll_loss_nd"), _Pick(1, dim=1)),
}

HELPER = '''
def drawn(shape, mean, spread, low, high, dtype=torch.float32):
    """Normal, with what the region was seen to be given as its mean, spread and ends."""
    return (mean + spread * torch.randn(shape)).clamp(low, high).to(dtype)
'''


def draw_written(
    name: str,
    units: Sequence[Unit],
    shapes: Shapes,
    seen: Mapping[str, Seen],
    axes: Mapping[str, str],
) -> str:
    """The expression that draws the value `name` for the region that `units` are. `axes` are what
    axes are called.

    Raises:
        ProblemError: nobody knows how to draw something like it.
    """
    shape, dtype = shapes[name]
    if dtype is None:
        raise ProblemError(f"It is given {name}, which is of a type that problems do not have.")
    if name not in seen:
        raise ProblemError(f"It is given {name}, of which nothing was seen.")
    what = seen[name]
    sizes = [size_written(size, axes) for size in shape]
    said = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
    if dtype == "bool":
        return f"torch.rand({said}) < {what.mean:.6g}"
    if "float" in dtype:
        if not what.finite:
            raise ProblemError(f"It is given {name}, in which there are NaN or infinity.")
        ends = f"{what.mean:.6g}, {what.spread:.6g}, {what.low:.6g}, {what.high:.6g}"
        of_type = "" if dtype == "float32" else f", torch.{dtype}"
        return f"drawn({said}, {ends}{of_type})"
    bounds = list(dict.fromkeys(size_written(size, axes) for size in _bounds(name, units, shapes)))
    low, high = str(int(what.low)), str(int(what.high) + 1)
    if bounds:
        low, high = "0", bounds[0] if len(bounds) == 1 else f"min({', '.join(bounds)})"
    of_type = "" if dtype == "int64" else f", dtype=torch.{dtype}"
    return f"torch.randint({low}, {high}, {said}{of_type})"


def _bounds(name: str, units: Sequence[Unit], shapes: Shapes) -> Iterator[Size]:
    """The sizes that value `name`, which picks places, must stay below; none if it picks none."""
    for unit in units:
        if name not in unit.reads:
            continue
        if unit.is_view or unit.op in ("clone", "_to_copy", "to"):
            for made in unit.makes:
                yield from _bounds(made, units, shapes)
        yield from _bound(name, unit.nodes[0], shapes)


def _bound(name: str, node: Node, shapes: Shapes) -> Iterator[Size]:
    op = op_name(node)
    if op in ("index", "index_put"):
        source = _shape_of(node, 0, shapes)
        places = node.args[1]
        yield from (source[at] for at, each in enumerate(places) if name in refs(each))
    elif op == "embedding_dense_backward" and name in refs(node.args[1]):
        yield node.args[2]
    elif op in _PICKS:
        pick = _PICKS[op]
        if pick.places < len(node.args) and name in refs(node.args[pick.places]):
            source, dim = _shape_of(node, pick.of, shapes), pick.along(node)
            if source:
                yield source[dim if dim < len(source) else 0]


def _shape_of(node: Node, at: int, shapes: Shapes) -> tuple[Size, ...]:
    argument = node.args[at]
    return shapes[argument.ref][0] if isinstance(argument, Ref) else ()
