"""The values of a graph: the shape and the type of each, inputs among them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from kernelwright.core.graph import Extent, Graph, Node
from kernelwright.core.problem import DType
from kernelwright.knowledge.sketches.poly import Part
from kernelwright.knowledge.sketches.site import Shape, size


class Values:
    """What is known of every value of `graph` before anything is made of it.

    `scalars` are the inputs that are given by value, with their types; `parts` is what each axis is
    known to be a multiple of.
    """

    def __init__(self, graph: Graph, scalars: Mapping[str, DType]) -> None:
        self.graph = graph
        self.parts = _parts_of(graph)
        self._scalars = dict(scalars)
        self._nodes = {n.name: n for n in graph.nodes}
        self._inputs = {v.name: v for v in graph.inputs}

    def shape(self, name: str) -> Shape:
        """The shape of value `name`, with a polynomial for each size."""
        if name in self._scalars:
            return ()
        if name in self._inputs:
            asker = Node(name=name, op="the input", args=())
            return tuple(size(s, asker, self.parts) for s in self._inputs[name].shape)
        node = self._nodes[name]
        return tuple(size(s, node, self.parts) for s in node.shape)

    def dtype(self, name: str) -> DType:
        """The dtype of value `name`."""
        if name in self._scalars:
            return self._scalars[name]
        if name in self._inputs:
            return self._inputs[name].dtype
        return self._nodes[name].dtype or "float32"


def _parts_of(graph: Graph) -> dict[str, Part]:
    """What each axis is known to be a multiple of, since a part of it is the size of something."""
    extents = [s for n in graph.nodes for s in n.shape if isinstance(s, Extent)]
    found: dict[str, int] = {}
    for extent in extents:
        if len(extent.axes) == 1:
            axis = extent.axes[0]
            found[axis] = math.lcm(found.get(axis, 1), extent.denominator)
    by_axis = {a: b for e in extents for a, b in zip(e.axes, e.over, strict=False)}
    return {**found, **by_axis}
