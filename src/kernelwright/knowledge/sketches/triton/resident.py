"""Rows that a program holds as a whole, in Triton: read once, whatever is worked out of them."""

from __future__ import annotations

from kernelwright.knowledge.sketches.expr import Expr, walk
from kernelwright.knowledge.sketches.stages import Fold
from kernelwright.knowledge.sketches.text import grouped
from kernelwright.knowledge.sketches.triton.calls import TYPES
from kernelwright.knowledge.sketches.triton.nests import Nest


class ResidentNest(Nest):
    """A stage whose block is as long as a row, or longer."""

    def body(self) -> list[str]:
        """The lines of the kernel."""
        lines = [
            f"{self.row} = tl.program_id(0).to(tl.int64)",
            f"{self.lane} = tl.arange(0, BLOCK)",
            f"{self.mask} = {self.lane} < {self._size('lane')}",
        ]
        for number, folds in enumerate(self.stage.passes):
            self.text.mask = self.mask
            lines += self._defined([f.value for f in folds], self._after(number))
            for fold in folds:
                lines += self._brought_together(fold)
        elements = [s for s in self.stage.stores if s.span == "elements"]
        self.text.mask = self.mask
        lines += self._written(elements)
        return lines + self._row_stores()

    def _after(self, number: int) -> list[Expr]:
        """What is worked out after pass `number`."""
        later = [f.value for each in self.stage.passes[number + 1 :] for f in each]
        return later + [s.value for s in self.stage.stores if s.span == "elements"]

    def _defined(self, roots: list[Expr], later: list[Expr]) -> list[str]:
        again = {e.number for e in walk(self.text.maker, later, self.known)}
        return self.text.define(roots, self.known, later=again)

    def _brought_together(self, fold: Fold) -> list[str]:
        value, mine = self.text.value(fold.value, self.known), self._name(fold)
        kind = "tl.int32" if fold.dtype == "bool" else TYPES[fold.dtype]
        if fold.dtype == "bool":
            value = f"{grouped(value)}.to(tl.int32)"
        outside = f"tl.full([BLOCK], {self._identity(fold)}, {kind})"
        lines = [f"{mine} = tl.where({self.mask}, {value}, {outside})"]
        if fold.kind.startswith("arg"):
            # A lane behind the end is never the first of equals.
            place = self.text.index(fold.position, self.known)
            behind = f"{grouped(place)}.to(tl.int64), {2**62}"
            lines.append(f"{self._name(fold, '_at')} = tl.where({self.mask}, {behind})")
        return lines + self._finish(fold)
