"""From a graph to expressions: what one element of an output is, pulled back to the inputs.

Every view becomes index arithmetic on the way, so that a chain of operators is one expression.
A reduction stays as a `Reduced` leaf; `stages` decides in which loop it is computed.
"""

from __future__ import annotations

import itertools

from kernelwright.core.graph import Graph, Node, Ref
from kernelwright.core.problem import DType, Problem
from kernelwright.knowledge.sketches.contractions import CONTRACTIONS
from kernelwright.knowledge.sketches.expr import (
    Expr,
    Load,
    Maker,
    Reduced,
    Scalar,
    computed_in,
    guarded,
    walk,
)
from kernelwright.knowledge.sketches.floats import FLOAT_PIECES
from kernelwright.knowledge.sketches.index import Index, flattened, index
from kernelwright.knowledge.sketches.pointwise import POINTWISE
from kernelwright.knowledge.sketches.poly import ONE, Poly
from kernelwright.knowledge.sketches.pooling import POOLING, POOLING_PIECES
from kernelwright.knowledge.sketches.reductions import REDUCTION_PIECES, REDUCTIONS
from kernelwright.knowledge.sketches.scans import SCAN_PIECES, SCANS
from kernelwright.knowledge.sketches.scattering import SCATTERING
from kernelwright.knowledge.sketches.site import (
    Kind,
    NoSketch,
    Reduction,
    Site,
    WindowCount,
    uncovered,
)
from kernelwright.knowledge.sketches.values import Values
from kernelwright.knowledge.sketches.views import PIECES, VIEWS

_RULES = POINTWISE | VIEWS | REDUCTIONS | POOLING | SCATTERING | CONTRACTIONS | SCANS
_PIECES = PIECES | REDUCTION_PIECES | POOLING_PIECES | FLOAT_PIECES | SCAN_PIECES
# A reduction that may be written out has at most so many elements, and is so many expressions.
_FEW_ELEMENTS = 25
_LONGEST = 600
_TWO: dict[Kind, str] = {
    "sum": "add", "prod": "mul", "max": "maximum", "min": "minimum", "any": "logical_or",
    "all": "logical_and",
}  # fmt: skip


class Lowering(Values):
    """A problem's graph as the source of elements. The `Puller` of the operator tables."""

    def __init__(self, problem: Problem, graph: Graph) -> None:
        super().__init__(graph, {s.name: s.dtype for s in problem.inputs if s.role == "scalar"})
        self.maker = Maker()
        self.problem = problem
        self.reductions: dict[str, Reduction] = {}
        # What axes that are the number of windows in a dimension follow from.
        self.counts: dict[str, WindowCount] = {}
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
        """The leaf that stands for a reduction's result; the reduction is remembered.

        Of one element the result is that element, or its position; there is no loop to be.
        """
        for size, count in what.counts:
            if str(size) not in count.axes:
                self.counts.setdefault(str(size), count)
        by_position = what.kind in ("argmax", "argmin")
        if what.count == ONE and by_position:
            return self.maker.constant(0, "int64")
        if what.count == ONE or what.may_be_written_out:
            found = self._written_out(what, at)
            if found is not None:
                return guarded(self.maker, found, guard)
        self.reductions.setdefault(what.key, what)
        dtype: DType = "int64" if by_position else what.dtype
        return self.maker.make(Reduced(what.key, at, guard), dtype)

    def _written_out(self, what: Reduction, at: tuple[Index, ...]) -> Expr | None:
        """The elements of one result brought together one by one; None if that is too much text."""
        count = what.count.constant
        if count is None or count > _FEW_ELEMENTS:
            return None
        sizes = [what.shape[d].constant or 1 for d in what.dims]
        found: Expr | None = None
        for place in itertools.product(*map(range, sizes)):
            kept, own = iter(at), dict(zip(what.dims, place, strict=True))
            whole = (index(own[d]) if d in own else next(kept) for d in range(what.rank))
            more = what.source(tuple(whole))
            found = more if found is None else self.maker.call(_TWO[what.kind], found, more)
            if len(walk(self.maker, [found])) > _LONGEST:
                return None
        return found


def output_shape(lowering: Lowering, number: int) -> tuple[str, tuple[Poly, ...]]:
    """The value that output `number` is, and its shape."""
    outputs = lowering.graph.outputs
    if len(outputs) != len(lowering.problem.outputs):
        raise NoSketch(
            f"The graph has {len(outputs)} outputs and the problem {len(lowering.problem.outputs)}."
        )
    return outputs[number], lowering.shape(outputs[number])
