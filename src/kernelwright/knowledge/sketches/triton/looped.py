"""Rows that are walked tile by tile in Triton, once for each of the dependent reductions.

Scans are part of the last walk, that of the stores: what is before a tile is carried to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kernelwright.knowledge.sketches.expr import Expr, walk
from kernelwright.knowledge.sketches.stages import Store
from kernelwright.knowledge.sketches.text import grouped
from kernelwright.knowledge.sketches.triton.nests import Kernel, Nest, indented


class Looped(Nest):
    """A stage with reductions whose rows are walked tile by tile, once for each pass.

    Every other walk goes backwards: it begins with what was read last, and a cache still has.
    """

    backwards = False

    def body(self) -> list[str]:
        """The lines of the kernel."""
        self.text.policy = self.reads_once()
        lines = [*self.head(), *self.ahead()]
        for number in range(len(self.folds)):
            self.backwards = number % 2 == 1
            lines += self.walked(number)
            for fold in self.folds[number]:
                lines += self.brought_together(fold)
        self.backwards = len(self.folds) % 2 == 1 and not self.scans
        return [*lines, *self._elements(), *self.after_rows()]

    def head(self) -> list[str]:
        """Where the program is."""
        return self._row() if self.stage.in_rows else self._column_tile()

    def walked(self, number: int, part: str = "") -> list[str]:
        """Pass `number`: the tiles of partial results; `part` says which tiles of many parts."""
        folds = self.folds[number]
        values = [f.fold.value for f in folds]
        self.text.policy = self.reads_once(self._after(number))
        lines = self.hoisted(values, *self.walks)
        lines += [line for fold in folds for line in fold.start()]

        def take() -> list[str]:
            inside = dict(self.known)
            taken = self.text.define(values, inside)
            return taken + [line for f in folds for line in f.take(inside, self.folded)]

        return lines + self._walk(values, take, part)

    def _after(self, number: int) -> list[Expr]:
        """What is worked out from memory after pass `number`."""
        passes = (*self.stage.passes[number + 1 :], self.stage.scans)
        later = [f.value for each in passes for f in each]
        return later + [s.value for s in self.spanning("elements")]

    def _walk(
        self, values: Sequence[Expr], body: Callable[[], list[str]], part: str = ""
    ) -> list[str]:
        """`body` for each tile."""
        if self.first == "row":
            return self._stepped(self.lanes, "LANES", part, lambda: self._along(body))
        return self._stepped(self.depths, "DEPTHS", part, lambda: self._down(values, body))

    def _stepped(
        self, extent: str, step: str, part: str, body: Callable[[], list[str]]
    ) -> list[str]:
        """`body` for each tile of a loop, one `step` long; of every so many, in `part` of more."""
        begin = self.begin
        if part:
            head = f"for {begin} in range({part} * {step}, {extent}, {part}s * {step}):"
            return [head, *indented(body())]
        if not self.backwards:
            return [f"for {begin} in range(0, {extent}, {step}):", *indented(body())]
        back = self.text.unique(begin.replace("begin", "back"))
        last = f"(tl.cdiv({extent}, {step}) - 1) * {step}"
        return [
            f"for {back} in range(0, {extent}, {step}):",
            *indented([f"{begin} = {last} - {back}", *body()]),
        ]

    def _along(self, body: Callable[[], list[str]]) -> list[str]:
        return [*self._lanes_at(self.begin, self.lanes), *body()]

    def _down(self, values: Sequence[Expr], body: Callable[[], list[str]]) -> list[str]:
        lines = self._depths_at(self.begin)
        if not self.stage.in_rows:
            mask = f"{self.text.inside} = {self.depth_in} & {self.lane_in}"
            return [*lines, mask, *body()]
        # What is the same along the lanes is worked out before them, for this block of depths.
        outer = dict(self.known)
        lines += self.hoisted(values, "lane")
        begin, self.begin = self.begin, self.text.unique("begin_lane")
        lines += self._stepped(self.lanes, "LANES", "", lambda: self._along(body))
        self.begin, self.known = begin, outer
        return lines

    def _elements(self) -> list[str]:
        stores = self.spanning("elements")
        if not stores:
            return []
        values = [*(s.fold.value for s in self.scans), *(s.value for s in stores)]
        self.text.policy = self.reads_once()
        lines = self.hoisted(values, *self.walks)
        shape = ", ".join("1" if n == self.along else s for n, s in enumerate(self.sizes))
        lines += [scan.start_carried(f"[{shape}]") for scan in self.scans]
        return lines + self._walk(values, lambda: self._run(stores))

    def _run(self, stores: Sequence[Store]) -> list[str]:
        """The running values of a tile, and what is made of them."""
        outer = dict(self.known)
        values = [s.fold.value for s in self.scans]
        later = walk(self.text.maker, [s.value for s in stores])
        lines = self.text.define(values, self.known, later={e.number for e in later})
        for scan in self.scans:
            lines += scan.whole(self.known, self.folded)
            lines += scan.scanned(self.along, carried=True)
            self.learn(scan)
        lines += self.written(stores)
        self.known = outer
        return lines

    def kernel(self) -> Kernel:
        """The kernel and its launch."""
        body = self.body()
        before, tile = self.tile()
        return Kernel(body=body, before=before, grid=self.programs(), tile=tile)

    def tile(self) -> tuple[list[str], dict[str, str]]:
        """The sizes of the tiles, in Python."""
        if self.flat:
            return [], {"LANES": "BLOCK"}
        first, lanes = self.sizes[0], self.text.unique("tile_lanes")
        name = self.text.unique(f"tile_{first.lower()}")
        most = "BLOCK" if self.stage.in_rows else "COLUMNS"
        extent = self.depths if self.first == "depth" else self.rows
        before = [
            f"{lanes} = kw_lanes({self.lanes}, {most})",
            f"{name} = min(BLOCK // {lanes}, kw_power({extent}))",
        ]
        return before, {first: name, "LANES": lanes}

    def programs(self) -> str:
        """The size of the grid, as Python over the axes and the tile."""
        if self.flat:
            return "1"
        if self.first == "row":
            return f"triton.cdiv({self.rows}, {self.text.unique('tile_rows')})"
        if self.stage.in_rows:
            return self.rows
        tiles = f"triton.cdiv({self.lanes}, {self.text.unique('tile_lanes')})"
        return tiles if self.rows == "1" else f"{grouped(self.rows)} * {tiles}"
