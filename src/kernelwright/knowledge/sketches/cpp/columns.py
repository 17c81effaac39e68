"""Stages that bring elements together which are not neighbours in memory, in C++.

The lanes are neighbouring columns, each with a result of its own: a tile of columns is walked from
its first row to its last. Tiles are spread over threads.
"""

from __future__ import annotations

from kernelwright.knowledge.sketches.cpp.calls import TYPES
from kernelwright.knowledge.sketches.cpp.folds import FoldText
from kernelwright.knowledge.sketches.cpp.nest import Nest, indented
from kernelwright.knowledge.sketches.expr import Expr
from kernelwright.knowledge.sketches.text import invariant


class ColumnNest(Nest):
    """A stage where what one column computes is an array over the tile."""

    inner = {"depth"}

    def lines(self) -> list[str]:
        """The whole stage, as a block."""
        names = self.names
        tile = [self.counted(names.lanes, "TILE")]
        for number in range(len(self.stage.passes)):
            tile += self._pass(number)
        tile += self._stores()
        loop = [
            "#pragma omp for collapse(2) schedule(static)",
            f"for (int64_t {names.row} = 0; {names.row} < {names.rows}; ++{names.row}) {{",
            f"    for (int64_t {names.begin} = 0; {names.begin} < {names.lanes}; "
            f"{names.begin} += TILE) {{",
            *indented(tile, 2),
            "    }",
            "}",
        ]
        return ["{", *indented([*self.sizes(), *self.parallel(loop)]), "}"]

    def _columns(self, roots: list[Expr]) -> list[str]:
        """What the walk along the columns does not change: scalars, and arrays over the tile."""
        lines = self.hoisted(roots, "depth", "lane")
        found = invariant(self.text.maker, roots, {"depth"}, self.known)
        found = [e for e in found if e.number not in self.known]
        if not found:
            return lines
        inside = dict(self.known)
        step = self.text.define(found, inside)
        for expr in found:
            array = self.text.numbered("column")
            lines.append(f"alignas(64) {TYPES[expr.dtype]} {array}[TILE];")
            step.append(f"{array}[{self.names.item}] = {self.text.value(expr, inside)};")
            self.known[expr.number] = f"{array}[{self.names.item}]"
        return [*lines, *self.over_block(step)]

    def _pass(self, number: int) -> list[str]:
        folds = [FoldText.of(f, self.text, precise=True) for f in self.stage.passes[number]]
        roots = [f.fold.value for f in folds]
        lines = self._columns(roots)
        inside = dict(self.known)
        for fold in folds:
            lines += fold.declare_part("TILE")
        outer = invariant(self.text.maker, roots, {"lane"}, inside)
        body = self.text.define(outer, inside, name_roots=True)
        step = self.text.define(roots, inside)
        for fold in folds:
            value = self.text.value(fold.fold.value, inside)
            position = self.text.index(fold.fold.position, inside)
            step.append(fold.take(value, self.names.item, position))
        lines += self.in_depth([*body, *self.over_block(step)])
        for fold in folds:
            self.learn(fold.fold.key, fold.element(self.names.item))
        return lines

    def _stores(self) -> list[str]:
        """What a tile writes: the columns' results, and their elements."""
        kept = [s for s in self.stage.stores if s.span == "row"]
        by_element = [s for s in self.stage.stores if s.span == "elements"]
        lines: list[str] = []
        if kept:
            inside = dict(self.known)
            step = self.text.define([s.value for s in kept], inside)
            lines += self.over_block([*step, *(self.assigned(s, inside) for s in kept)])
        if by_element:
            scans = [FoldText.of(f, self.text, precise=True) for f in self.stage.scans]
            values = [f.value for f in self.stage.scans]
            lines += self._columns([*(s.value for s in by_element), *values])
            lines += [line for scan in scans for line in scan.declare_part("TILE")]
            running = self._run(scans)
            lines += self.in_depth([*running, *self.elements(by_element, "TILE")])
        return lines

    def _run(self, scans: list[FoldText]) -> list[str]:
        """The running values of a tile, brought on by one row."""
        if not scans:
            return []
        inside, roots = dict(self.known), [s.fold.value for s in scans]
        outer = invariant(self.text.maker, roots, {"lane"}, inside)
        lines = self.text.define(outer, inside, name_roots=True)
        step = self.text.define(roots, inside)
        for scan in scans:
            value = self.text.value(scan.fold.value, inside)
            position = self.text.index(scan.fold.position, inside)
            step.append(scan.take(value, self.names.item, position))
            self.learn(scan.fold.key, scan.element(self.names.item))
        return [*lines, *self.over_block(step)]
