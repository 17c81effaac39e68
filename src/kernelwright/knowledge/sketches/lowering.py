"""From a graph to expressions: what one element of an output is, pulled back to the inputs.

Every view becomes index arithmetic on the way, so that a chain of operators is one expression.
A reduction stays as a `Reduced` leaf; `stages` decides in which loop it is computed.
"""

from __future__ import annotations

from kernelwright.core.graph import Graph, Node, Ref
from kernelwright.core.problem import DType, Problem
from kernelwright.knowledge.sketches.expr import Expr, Load, Maker, Reduced, Scalar, computed_in
from kernelwright.knowledge.sketches.index import Index, flattened
from kernelwright.knowledge.sketches.pointwise import POINTWISE
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.knowledge.sketches.reductions import REDUCTION_PIECES, REDUCTIONS
from kernelwright.knowledge.sketches.scans import SCAN_PIECES, SCANS
from kernelwright.knowledge.sketches.site import NoSketch, Reduction, Site, uncovered
from kernelwright.knowledge.sketches.values import Values
from kernelwright.knowledge.sketches.views import PIECES, VIEWS

_RULES = POINTWISE | VIEWS | REDUCTIONS | SCANS
_PIECES = PIECES | REDUCTION_PIECES | SCAN_PIECES


class Lowering(Values):
    """A problem's graph as the source of elements. The `Puller` of the operator tables."""

    def __init__(self, problem: Problem, graph: Graph) -> None:
        super().__init__(graph, {s.name: s.dtype for s in problem.inputs if s.role == "scalar"})
        self.maker = Maker()
        self.problem = problem
        self.reductions: dict[str, Reduction] = {}
        self._pulled: dict[tuple[str, tuple[Index, ...], Expr | None], Expr] = {}
        for node in graph.nodes:
            self._check(node)

    def _check(self, node: Node) -> None:
        """Refuse an operator that is in no table, before anything is made of the others."""
        if node.op == "getitem":
            return
        table = _RULES if node.dtype is not None else _PIECES
        if node.op not in table:
            raise uncovered(node)

    def pull(self, name: str, at: tuple[Index, ...], guard: Expr | None = None) -> Expr:
        """The element of value `name` at `at`.

        Raises:
            NoSketch: it depends on an operator that is in no table.
        """
        key = (name, at, guard)
        if key not in self._pulled:
            self._pulled[key] = self._made(name, at, guard)
        return self._pulled[key]

    def _made(self, name: str, at: tuple[Index, ...], guard: Expr | None) -> Expr:
        dtype = computed_in(self.dtype(name))
        if name in self._scalars:
            return self.maker.make(Scalar(name), dtype)
        if name in self._inputs:
            return self.maker.make(Load(name, flattened(at, self.shape(name)), guard), dtype)
        node = self._nodes[name]
        site = Site(graph=self, node=node, at=at, guard=guard)
        if node.op != "getitem":
            return self.maker.cast(_RULES[node.op](site), dtype)
        producer = self._producer(node)
        return self.maker.cast(_PIECES[producer.op](site, producer), dtype)

    def _producer(self, node: Node) -> Node:
        source = node.args[0]
        producer = self._nodes.get(source.ref) if isinstance(source, Ref) else None
        if producer is None or producer.op not in _PIECES:
            raise uncovered(producer or node)
        return producer

    def reduced(self, what: Reduction, at: tuple[Index, ...], guard: Expr | None) -> Expr:
        """The leaf that stands for a reduction's result; the reduction is remembered."""
        self.reductions.setdefault(what.key, what)
        dtype: DType = "int64" if what.kind in ("argmax", "argmin") else what.dtype
        return self.maker.make(Reduced(what.key, at, guard), dtype)


def output_shape(lowering: Lowering, number: int) -> tuple[str, tuple[Poly, ...]]:
    """The value that output `number` is, and its shape."""
    outputs = lowering.graph.outputs
    if len(outputs) != len(lowering.problem.outputs):
        raise NoSketch(
            f"The graph has {len(outputs)} outputs and the problem {len(lowering.problem.outputs)}."
        )
    return outputs[number], lowering.shape(outputs[number])
