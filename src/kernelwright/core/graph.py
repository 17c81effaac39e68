"""A reference program as a graph of ATen operators, traced at one set of sizes.

The trace is made where torch is (`problems.tracing`); it crosses to the sketches as this record,
so that nothing above `problems` needs torch to read it.
"""

from __future__ import annotations

from typing import Any

from kernelwright.core.problem import DType
from kernelwright.core.record import Record


class Ref(Record):
    """An argument that is another value of the graph."""

    ref: str


class Value(Record):
    """A tensor that enters the graph, under the name of its `TensorSpec`."""

    name: str
    shape: tuple[int, ...]
    dtype: DType


class Node(Record):
    """One operator. An argument is a `Ref`, a number, a string, None, or a list of those.

    `op` is the overload's name (``aten.mul.Tensor``). An operator with several results is
    followed by ``getitem`` nodes, whose arguments are the `Ref` and the position; its own
    `shape` is empty and `dtype` None.
    """

    name: str
    op: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = {}
    shape: tuple[int, ...] = ()
    dtype: DType | None = None


class Graph(Record):
    """A whole reference. `axes` are the sizes it was traced at, distinct so that a size in a
    shape names its axis."""

    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    axes: dict[str, int]
