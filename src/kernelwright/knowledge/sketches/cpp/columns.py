"""Stages that bring elements together which are not neighbours in memory, in C++.

The lanes are neighbouring columns, each with a result of its own: a tile of columns is walked from
its first row to its last. Tiles are spread over threads.
"""

from __future__ import annotations

from collections.abc import Mapping

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
        near = {f.part: f.nearer for f in folds if f.nearer is not None and self.deep}
        for fold in folds:
            value = self.text.value(fold.fold.value, inside)
            position = self.text.index(fold.fold.position, inside)
            step.append(near.get(fold.part, fold).take(value, self.names.item, position))
        body += self.over_block(step)
        lines += self._some_rows_at_a_time(body, near) if near else self.in_depth(body)
        for fold in folds:
            self.learn(fold.fold.key, fold.element(self.names.item))
        return lines

    def _some_rows_at_a_time(self, body: list[str], near: Mapping[str, FoldText]) -> list[str]:
        """`body` for each row, which adds in float to what is `near`: after some rows that goes
        into the part whose name it is under. A double is half as many to a vector."""
        k, depth, item = self.names.depth, self.names.depths, self.names.item
        first, last = self.text.unique("first_row"), self.text.unique("last_row")
        added = [f"{part}[{item}] += {fold.part}[{item}];" for part, fold in near.items()]
        return [
            f"for (int64_t {first} = 0; {first} < {depth}; {first} += KW_NEAR_ROWS) {{",
            f"    const int64_t {last} = std::min({first} + KW_NEAR_ROWS, {depth});",
            *indented([line for fold in near.values() for line in fold.declare_part("TILE")]),
            f"    for (int64_t {k} = {first}; {k} < {last}; ++{k}) {{",
            *indented(body, 2),
            "    }",
            *indented(self.over_block(added)),
            "}",
        ]

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
