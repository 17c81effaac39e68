"""Rows that several programs hold together, in Triton: longer ones than one has room for, and still
read from memory once.

Each program holds a part of a row. What it finds of that part it leaves in memory; then it waits
until all parts of the row are there, and brings them together itself, in an order that is always
the same. Programs take their parts by a ticket, in the order in which they start: who waits, waits
for a program that runs, or for one that has room as soon as rows before are done. So it takes a
device with room for `MOST_PARTS` programs, and cannot run under an interpreter, which runs one
program after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernelwright.knowledge.sketches.expr import Expr
from kernelwright.knowledge.sketches.poly import ONE
from kernelwright.knowledge.sketches.text import grouped
from kernelwright.knowledge.sketches.triton.folds import FoldText, Moments
from kernelwright.knowledge.sketches.triton.nests import Kernel, indented
from kernelwright.knowledge.sketches.triton.resident import LONGEST, Whole, power
from kernelwright.knowledge.sketches.triton.split import partial

# Any device that Triton is used on has room for so many programs at once.
MOST_PARTS = 64
_CLEARED = 1024  # marks, by one program


@dataclass
class Together(Whole):
    """A stage whose rows are held in parts, one by each program."""

    def __post_init__(self) -> None:
        super().__post_init__()
        text = self.text
        self.part, self.ticket, self.marks = map(text.unique, ("part", "ticket", "marks"))
        if self.first == "row":
            # One row at a time, so a tile is [LANES] of it.
            self.flat = True
            text.masks = {"lane": self.lane_in, "own": self.lane_in}
            text.shape = "[LANES]"

    @property
    def parts(self) -> str:
        """How many programs hold a row, as text."""
        return f"{self.part}s"

    def body(self) -> list[str]:
        """The lines of the kernel."""
        self.text.policy = self.reads_once()
        lines = [
            f"{self.ticket} = tl.atomic_add({self.marks}, 1)",
            f"{self.row} = ({self.ticket} // {self.parts}).to(INDEX)",
            f"{self.part} = {self.ticket} % {self.parts}",
            *self._tile_at(),
            # What is there before anybody is waited for need not be waited for afterwards.
            *self.text.define(self.loads(self._of_tile()), self.known, name_roots=True),
        ]
        lines += self._passes() + self.written(self.spanning("elements"))
        once = self.after_rows()
        return lines + ([f"if {self.part} == 0:", *indented(once)] if once else [])

    def _tile_at(self) -> list[str]:
        if self.flat:
            return self._lanes_at(f"{self.part} * LANES", self.lanes)
        return [*self._depths_at(f"{self.part} * DEPTHS"), *self._lanes_at("", self.lanes)]

    def _of_tile(self) -> list[Expr]:
        """What is worked out of the elements of the tile."""
        roots = [f.value for each in self.stage.passes for f in each]
        return roots + [s.value for s in self.spanning("elements")]

    def _passes(self) -> list[str]:
        """Everything that is brought together, in each part and then of all parts."""
        lines = []
        for number, folds in enumerate(self.folds):
            lines += self._defined([f.fold.value for f in folds], self._after(number))
            for fold in folds:
                lines += self._of_part(fold)
            lines.append(f"kw_meet({self._mark(number)}, {self.parts})")
            for fold in folds:
                lines += self._of_all(fold)
        return lines

    def _mark(self, number: int) -> str:
        """Where it is counted how many parts of the row are done with pass `number`."""
        rows = grouped(self.rows)
        before = "" if number == 0 else f"{number} + " if rows == "1" else f"{number} * {rows} + "
        return f"{self.marks} + 1 + {before}{self.row}"

    def _of_part(self, fold: FoldText) -> list[str]:
        """What this part comes to, left for the others."""
        if isinstance(fold.fold, Moments):
            results = ", ".join(s.result for s in fold.states)
            value = self.text.value(fold.fold.value, self.known)
            lines = [f"{results} = kw_moments_held({value}, {self.folded}, {self._count})"]
        else:
            axes = [0] if self.flat else [1, 0]
            lines = fold.whole(self.known, self.folded)
            lines += fold.brought_together(axes, keep=False)
        return lines + [
            f"tl.store({self.text.unique(partial(s))} + {self.ticket}, {s.result})"
            for s in fold.states
        ]

    @property
    def _count(self) -> str:
        """How many elements of the row the tile has."""
        if self.flat:
            return f"tl.minimum(LANES, {self.lanes} - {self.part} * LANES)"
        depths = f"tl.minimum(DEPTHS, {self.depths} - {self.part} * DEPTHS)"
        return f"{depths} * {grouped(self.lanes)}"

    def _of_all(self, fold: FoldText) -> list[str]:
        """What all parts of the row come to."""
        at = f"{self.row} * {self.parts} + tl.arange(0, PARTS)"
        there = f"tl.arange(0, PARTS) < {self.parts}"
        lines = [
            f"{s.name} = tl.load({self.text.unique(partial(s))} + {at}, mask={there}, "
            f"other={s.start}, volatile=True)"
            for s in fold.states
        ]
        self.learn(fold)
        return lines + fold.brought_together([0], keep=False)

    @property
    def folded(self) -> str:
        """Where in a tile there is something to bring together."""
        return self.lane_in if self.flat else self.text.inside

    def kernel(self) -> Kernel:
        """The kernel and its launch, where `condition` holds."""
        body, rows = self.body(), grouped(self.rows)
        if self.flat:
            before, tile = [], {"LANES": "BLOCK"}
            count = f"triton.cdiv({self.lanes}, BLOCK)"
        else:
            lanes, depths = self.text.unique("tile_lanes"), self.text.unique("tile_depths")
            before = [f"{lanes} = kw_power({self.lanes})", f"{depths} = {self._deep(lanes)}"]
            tile = {"DEPTHS": depths, "LANES": lanes}
            count = f"triton.cdiv({self.depths}, {depths})"
        before.append(f"{self.parts} = {count}")
        grid = self.parts if self.stage.row.extent == ONE else f"{rows} * {self.parts}"
        return Kernel(
            body=body, before=before, grid=grid, tile=tile | {"PARTS": f"kw_power({self.parts})"}
        )

    def cleared(self, device: str) -> list[str]:
        """The lines that make the marks, where `device` says."""
        self.text.partials[self.marks] = None
        meetings = f"{len(self.folds)} * " if len(self.folds) > 1 else ""
        count = f"1 + {meetings}{grouped(self.rows)}"
        return [
            f"{self.marks} = torch.empty({count}, dtype=torch.int32, {device})",
            f"kw_clear[(triton.cdiv({count}, {_CLEARED}),)]({self.marks}, {count}, "
            f"LANES={_CLEARED})",
        ]

    def condition(self) -> str:
        """When there is room for a row, as Python."""
        if self.flat:
            return f"{self.lanes} <= {MOST_PARTS} * BLOCK"
        power_of = f"kw_power({self.lanes})"
        return f"{power_of} <= {LONGEST} and {self.depths} <= {MOST_PARTS} * {self._deep(power_of)}"

    @staticmethod
    def _deep(lanes: str) -> str:
        return f"max(1, BLOCK // {lanes})"

    def fits_block(self, sizes: Mapping[str, int], block: int) -> bool:
        """Whether a device has room for the rows at these sizes, at `block` elements a program."""
        stage = self.stage
        depth, lane = stage.depth.extent.at(sizes), stage.lane.extent.at(sizes)
        if not stage.in_rows:
            return False
        if self.flat:
            return lane <= MOST_PARTS * block
        return power(lane) <= LONGEST and depth <= MOST_PARTS * max(1, block // power(lane))
