"""Rows that a program holds as a whole, in Triton: read once, whatever is worked out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kernelwright.knowledge.sketches.expr import Expr, walk
from kernelwright.knowledge.sketches.stages import Store
from kernelwright.knowledge.sketches.triton.nests import Kernel, Nest

# A program that holds a longer row than this would keep it in slow memory.
LONGEST = 32768
# Columns that are neighbours, so that their loads fill what memory hands out at once.
_NEIGHBOURS = 32


class Whole(Nest):
    """A stage whose tile is a row, several short ones, or several columns as a whole."""

    def body(self) -> list[str]:
        """The lines of the kernel."""
        lines = self._head()
        self.text.policy = self.reads_once()
        return lines + self.ahead() + self._passes() + self._stores()

    def _passes(self) -> list[str]:
        """Everything that is brought together."""
        lines = []
        for number, folds in enumerate(self.folds):
            lines += self._defined([f.fold.value for f in folds], self._after(number))
            for fold in folds:
                lines += fold.whole(self.known, self.folded)
                lines += self.brought_together(fold)
        return lines

    def _stores(self) -> list[str]:
        """Everything that is written."""
        stores = self.spanning("elements")
        return [*self._scanned(stores), *self.written(stores), *self.after_rows()]

    def _scanned(self, stores: Sequence[Store]) -> list[str]:
        """The running values, which `stores` need."""
        values, later = [s.fold.value for s in self.scans], [s.value for s in stores]
        lines = self._defined(values, later)
        for scan in self.scans:
            lines += scan.whole(self.known, self.folded)
            lines += scan.scanned(self.along, carried=False)
            self.learn(scan)
        return lines

    def _head(self) -> list[str]:
        if not self.stage.in_rows:
            mask = f"{self.text.inside} = {self.depth_in} & {self.lane_in}"
            return [*self._column_tile(), *self._depths_at(""), mask]
        depths = self._depths_at("") if self.first == "depth" else []
        return [*self._row(), *depths, *self._lanes_at("", self.lanes)]

    def _after(self, number: int) -> list[Expr]:
        """What is worked out after pass `number`."""
        passes = (*self.stage.passes[number + 1 :], self.stage.scans)
        later = [f.value for each in passes for f in each]
        return later + [s.value for s in self.spanning("elements")]

    def _defined(self, roots: Sequence[Expr], later: Sequence[Expr]) -> list[str]:
        again = {e.number for e in walk(self.text.maker, later, self.known)}
        return self.text.define(roots, self.known, later=again)

    def kernel(self) -> Kernel:
        """The kernel and its launch, where `condition` holds."""
        body = self.body()
        if self.flat:
            return Kernel(body=body, before=[], grid="1", tile={"LANES": f"kw_power({self.lanes})"})
        lanes = self.text.unique("tile_lanes")
        first = self.sizes[0]
        name = self.text.unique(f"tile_{first.lower()}")
        if self.first == "row":
            sizes = [f"{lanes} = kw_power({self.lanes})", f"{name} = max(1, BLOCK // {lanes})"]
            grid = f"triton.cdiv({self.rows}, {name})"
        elif self.stage.in_rows:
            sizes = [f"{lanes} = kw_power({self.lanes})", f"{name} = kw_power({self.depths})"]
            grid = self.rows
        else:
            wanted = f"max({_NEIGHBOURS}, BLOCK // {name})"
            sizes = [
                f"{name} = kw_power({self.depths})",
                f"{lanes} = min({wanted}, kw_power({self.lanes}))",
            ]
            tiles = f"triton.cdiv({self.lanes}, {lanes})"
            grid = tiles if self.rows == "1" else f"({self.rows}) * {tiles}"
        return Kernel(body=body, before=sizes, grid=grid, tile={first: name, "LANES": lanes})

    def condition(self) -> str:
        """When a row is short enough, as Python."""
        if self.first == "row":
            return f"{self.lanes} <= {LONGEST}"
        if self.stage.in_rows:
            return f"kw_power({self.depths}) * kw_power({self.lanes}) <= {LONGEST}"
        return f"{self.depths} <= {LONGEST // _NEIGHBOURS}"

    def fits(self, sizes: Mapping[str, int]) -> bool:
        """Whether the rows are that short at these sizes."""
        depth, lane = self.stage.depth.extent.at(sizes), self.stage.lane.extent.at(sizes)
        if not self.stage.in_rows:
            return depth <= LONGEST // _NEIGHBOURS
        return power(depth) * power(lane) <= LONGEST


def power(size: int) -> int:
    """The next power of two."""
    return 1 << max(0, size - 1).bit_length()
