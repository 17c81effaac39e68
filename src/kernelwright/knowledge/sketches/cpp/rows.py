"""Stages that bring neighbours in memory together, or nothing: one row after another, in C++.

Rows are spread over threads. A row is read block by block: in a pass each block goes into lanes of
partial results, in the last loop it is written, past the cache if the result is large.
"""

from __future__ import annotations

from functools import partial

from kernelwright.knowledge.sketches.cpp.ahead import asked
from kernelwright.knowledge.sketches.cpp.calls import TYPES
from kernelwright.knowledge.sketches.cpp.folds import FoldText
from kernelwright.knowledge.sketches.cpp.nest import Nest, indented
from kernelwright.knowledge.sketches.cpp.scans import ScanText
from kernelwright.knowledge.sketches.expr import Expr
from kernelwright.knowledge.sketches.text import invariant


class RowNest(Nest):
    """A stage whose rows each thread takes one after another."""

    def lines(self) -> list[str]:
        """The whole stage, as a block."""
        of_rows = self.stage.passes or self.stage.scans
        loop = self._rows() if of_rows else self._blocks_of_rows()
        return ["{", *indented([*self.sizes(), *self.parallel(loop)]), "}"]

    def _blocks_of_rows(self) -> list[str]:
        """A stage without reductions or scans: blocks of all rows are spread over threads."""
        names = self.names
        body = [self.counted(names.lanes, "BLOCK")]
        body += self.elements(list(self.stage.stores), "BLOCK")
        return [
            "#pragma omp for collapse(2) schedule(static)",
            f"for (int64_t {names.row} = 0; {names.row} < {names.rows}; ++{names.row}) {{",
            *indented(self._blocks(names.lanes, "BLOCK", body)),
            "}",
        ]

    def _rows(self) -> list[str]:
        """A stage with reductions or scans: rows are spread over threads."""
        names, body = self.names, list[str]()
        for number in range(len(self.stage.passes)):
            body += self._pass(number)
        body += self._stores()
        extent = " * ".join([*([names.depths] if self.deep else []), names.lanes])
        return [
            *self._row_memory(),
            f"const bool {names.near} = AHEAD && {extent} <= KW_NEAR;",
            "#pragma omp for schedule(static)",
            f"for (int64_t {names.row} = 0; {names.row} < {names.rows}; ++{names.row}) {{",
            *indented(body),
            "}",
        ]

    def _row_memory(self) -> list[str]:
        """What each thread keeps for the row that it is in; nothing here."""
        return []

    def _extra_roots(self, number: int) -> list[Expr]:
        """What else pass `number` works out for each element."""
        del number
        return []

    def _after_element(self, number: int, inside: dict[int, str]) -> list[str]:
        """What pass `number` does with an element besides bringing it together; nothing here."""
        del number, inside
        return []

    def _blocks(self, limit: str, block: str, body: list[str]) -> list[str]:
        begin = self.names.begin
        head = f"for (int64_t {begin} = 0; {begin} < {limit}; {begin} += {block}) {{"
        return [head, *indented(body), "}"]

    def _pass(self, number: int) -> list[str]:
        folds = [FoldText.of(f, self.text) for f in self.stage.passes[number]]
        roots = [f.fold.value for f in folds]
        lines = self.hoisted(roots, "depth", "lane")
        for fold in folds:
            lines += fold.declare_total()
        lines += self.in_depth(self._summed(number, folds, roots))
        for fold in folds:
            lines.append(fold.finish())
            self.learn(fold.fold.key, fold.result)
        return lines

    def _summed(self, number: int, folds: list[FoldText], roots: list[Expr]) -> list[str]:
        """All lanes of a row into the totals, block by block."""
        block = self._one_block(number, folds, roots)
        return self._blocks(self.names.lanes, "KW_SUM_BLOCK", block)

    def _one_block(self, number: int, folds: list[FoldText], roots: list[Expr]) -> list[str]:
        """The block of a row that begins at `begin`, into the totals."""
        names, inside = self.names, dict(self.known)
        outer = invariant(self.text.maker, roots, {"lane"}, inside)
        lines = self.text.define(outer, inside, name_roots=True)
        step = self.text.define([*roots, *self._extra_roots(number)], inside)
        for fold in folds:
            lines += fold.declare_part("LANES")
            value = self.text.value(fold.fold.value, inside)
            position = self.text.index(fold.fold.position, inside)
            step.append(fold.take(value, names.slot, position))
        step += self._after_element(number, inside)
        ahead = self._asked(number)
        called = f"kw_lanes{'_ahead' if ahead else ''}<LANES>"
        return [
            f"const int64_t {names.end} = std::min({names.begin} + KW_SUM_BLOCK, {names.lanes});",
            *lines,
            f"{called}({names.begin}, {names.end}, [&](int64_t {names.lane}, int {names.slot}) {{",
            *indented(step),
            *ahead,
            "});",
            *[line for fold in folds for line in fold.add_lanes()],
            *[line for fold in folds if fold.by_position for line in self._searched(fold)],
        ]

    def _asked(self, number: int) -> list[str]:
        """How pass `number` asks for what comes next, if rows are not too long for the cache: one
        more function for each vector, which is no function to g++ (see `kw_ask`)."""
        lines = asked(self.text, self.stage, number)
        if not lines:
            return []
        return [
            f"}}, [&](int64_t {self.names.lane}) __attribute__((always_inline)) {{",
            f"    if (!{self.names.near}) return;",
            *indented(lines),
        ]

    def _searched(self, fold: FoldText) -> list[str]:
        """Where the extremum of the block that begins at `begin` is."""
        inside, kind = dict(self.known), TYPES[fold.fold.dtype]
        element = self.text.define([fold.fold.value], inside)
        value = self.text.value(fold.fold.value, inside)
        element.append(f"const {kind} {fold.part}_value = {value};")
        position = self.text.index(fold.fold.position, inside)
        return fold.search(self.names, element, position)

    def _stores(self) -> list[str]:
        """What a row writes: its results, its elements, and blocks that follow it elsewhere."""
        by_row = [s for s in self.stage.stores if s.span == "row"]
        lines = self.text.define([s.value for s in by_row], self.known)
        lines += [self.assigned(s, self.known) for s in by_row]
        by_element = [s for s in self.stage.stores if s.span == "elements"]
        if by_element:
            values = [*(s.value for s in by_element), *(f.value for f in self.stage.scans)]
            lines += self.hoisted(values, "depth", "lane")
            scans = self._scans()
            lines += [scan.declare_carried() for scan in scans]
            over = partial(self._run, scans) if scans else None
            body = [self.counted(self.names.lanes, "BLOCK")]
            body += self.elements(by_element, "BLOCK", over)
            lines += self.in_depth(self._blocks(self.names.lanes, "BLOCK", body))
        for store in self.stage.stores:
            if store.span == "own" and store.lane is not None:
                lines += self.hoisted([store.value], "own")
                limit = self.text.poly(store.lane.extent)
                body = [self.counted(limit, "BLOCK"), *self.elements([store], "BLOCK")]
                lines += self._blocks(limit, "BLOCK", body)
        return lines

    def _scans(self) -> list[ScanText]:
        """The scans of the stage: the last one's values go to the stores as they are found."""
        last = len(self.stage.scans) - 1
        scans = [
            ScanText.of(fold, self.text, held=number != last)
            for number, fold in enumerate(self.stage.scans)
        ]
        for scan in scans:
            self.learn(scan.fold.key, scan.element(self.names.item))
        return scans

    def _run(self, scans: list[ScanText], step: list[str]) -> list[str]:
        """The scans over the block that begins at `begin`, and `step` with what they come to."""
        names, lines = self.names, list[str]()
        lane = f"const int64_t {names.lane} = {names.begin} + {names.item};"
        for scan in scans:
            inside = dict(self.known)
            get = [lane, *self.text.define([scan.fold.value], inside)]
            get.append(f"return {self.text.value(scan.fold.value, inside)};")
            lines += scan.declare_block("BLOCK")
            lines += scan.run(names.item, names.count, get, [lane, *step])
        return lines
