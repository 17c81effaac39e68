"""One graph for all sizes, from the graphs of one program at some: numbers that know their axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Extent, Graph, Node, Size, Unexplained
from kernelwright.problems.sizes import Sizes, explain


def merged(traces: Sequence[Graph]) -> Graph:
    """The graph that stands for all `traces`, with the sizes of the first as its own.

    Raises:
        ProblemError: they differ in more than numbers.
    """
    first, sizes = traces[0], [t.axes for t in traces]
    for other in traces[1:]:
        _check_same_operators(first, other)
    inputs = tuple(
        same[0].model_copy(update={"shape": _merged_shape([v.shape for v in same], sizes)})
        for same in zip(*(t.inputs for t in traces), strict=True)
    )
    nodes = tuple(
        _merged_node(same, sizes) for same in zip(*(t.nodes for t in traces), strict=True)
    )
    return Graph(inputs=inputs, nodes=nodes, outputs=first.outputs, axes=first.axes)


def _check_same_operators(first: Graph, other: Graph) -> None:
    ours, theirs = [n.op for n in first.nodes], [n.op for n in other.nodes]
    if ours != theirs or first.outputs != other.outputs:
        differing = next((a for a, b in zip(ours, theirs, strict=False) if a != b), "the last one")
        raise ProblemError(
            "The reference runs different operators at different sizes (they part at "
            f"{differing}), so no single graph describes it."
        )


def _merged_node(same: Sequence[Node], sizes: Sizes) -> Node:
    return same[0].model_copy(
        update={
            "args": tuple(
                _merged_argument(list(a), sizes) for a in zip(*(n.args for n in same), strict=True)
            ),
            "kwargs": {
                k: _merged_argument([n.kwargs[k] for n in same], sizes) for k in same[0].kwargs
            },
            "shape": _merged_shape([n.shape for n in same], sizes),
        }
    )


def _merged_shape(shapes: Sequence[tuple[Size, ...]], sizes: Sizes) -> tuple[Size, ...]:
    merged: list[Size] = []
    for same in zip(*shapes, strict=True):
        found = explain([s for s in same if isinstance(s, int)], sizes)
        merged.append(found if isinstance(found, Extent | Unexplained) else int(found))
    return tuple(merged)


def _merged_argument(values: Sequence[Any], sizes: Sizes) -> Any:
    first = values[0]
    if all(v == first for v in values):
        return first
    if isinstance(first, tuple) and len({len(v) for v in values}) == 1:
        return tuple(_merged_argument(list(v), sizes) for v in zip(*values, strict=True))
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return explain(values, sizes)
    raise ProblemError(
        f"The reference passes {first!r} to an operator at some sizes and {values[-1]!r} at others."
    )
