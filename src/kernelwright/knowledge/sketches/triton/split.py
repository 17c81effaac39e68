"""Few long rows, or few columns, in Triton: each is cut into parts that many programs take.

The first kernel leaves what each part comes to, the second brings the parts together and writes
what a row or a column writes. Nothing is added up in an order that chance decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.knowledge.sketches.index import Index, index
from kernelwright.knowledge.sketches.poly import ONE, Poly
from kernelwright.knowledge.sketches.stages import Stage
from kernelwright.knowledge.sketches.text import grouped
from kernelwright.knowledge.sketches.triton.folds import FoldText, State
from kernelwright.knowledge.sketches.triton.looped import Looped
from kernelwright.knowledge.sketches.triton.nests import Kernel, Nest


def result_at(stage: Stage) -> Index:
    """Which of the stage's results the loops are at."""
    if stage.in_rows:
        return index(stage.row)
    return index(stage.row) * stage.lane.extent + index(stage.lane)


def results(stage: Stage) -> Poly:
    """How many results each reduction of the stage has."""
    return stage.row.extent if stage.in_rows else stage.row.extent * stage.lane.extent


def partial(state: State) -> str:
    """The tensor of what every part comes to."""
    return f"{state.result}_parts"


class Parts(Looped):
    """The only pass of a stage; each program takes every so many tiles of its row or columns."""

    def body(self) -> list[str]:
        """The lines of the kernel."""
        part = self.text.unique("part")
        lines = [
            *self.head(),
            f"{part} = tl.program_id(1).to(INDEX)",
            f"{part}s = tl.num_programs(1)",
            *self.walked(0, part),
        ]
        at = _in_parts(self, part)
        mask = self.text.mask(self.text.variables_of(result_at(self.stage)))
        masked = f", mask={mask}" if mask else ""
        for fold in self.folds[0]:
            lines += self.brought_together(fold)
            lines += [
                f"tl.store({self.text.unique(partial(s))} + {at}, {s.result}{masked})"
                for s in fold.states
            ]
        return lines

    def steps(self) -> str:
        """How many tiles a row or a column has, as Python."""
        if self.first == "depth":
            return f"triton.cdiv({self.depths}, {self.text.unique('tile_depths')})"
        lanes = "BLOCK" if self.flat else self.text.unique("tile_lanes")
        return f"triton.cdiv({self.lanes}, {lanes})"


class Joined(Nest):
    """The parts brought together: [ROWS, PARTS], [PARTS] of a single row, or [PARTS, LANES]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.part = self.text.unique("part")
        self.first, self.flat = "row", self.stage.in_rows and self.stage.row.extent == ONE
        self.text.masks = {"lane": self.lane_in}
        if self.stage.in_rows:
            self.text.masks = {} if self.flat else {"row": self.row_in}
        self.text.inside = ""
        self.text.shape = f"[{', '.join(self.sizes)}]"

    @property
    def sizes(self) -> list[str]:
        """The constants that are the tile's sizes."""
        if not self.stage.in_rows:
            return ["PARTS", "LANES"]
        return ["PARTS"] if self.flat else ["ROWS", "PARTS"]

    def body(self) -> list[str]:
        """The lines of the kernel."""
        part, parts = self.part, f"{self.part}s"
        lines = self._row() if self.stage.in_rows else self._column_tile()
        inside = self.text.unique("part_in")
        lines += [
            f"{part} = {self._arange('PARTS', 1 if self.stage.in_rows else 0)}",
            f"{inside} = {part} < {parts}",
        ]
        masks = " & ".join([*self.text.masks.values(), inside])
        at = _in_parts(self, part)
        for fold in self.folds[0]:
            for state in fold.states:
                place = f"{self.text.unique(partial(state))} + {at}"
                loaded = f"tl.load({place}, mask={masks}, other={state.start})"
                lines.append(f"{state.name} = {loaded}")
            lines += self.brought_together(fold)
        return lines + self.written(self.stage.stores)

    def brought_together(self, fold: FoldText) -> list[str]:
        """The results of `fold` from all parts."""
        self.learn(fold)
        along: Sequence[int] = [1] if self.stage.in_rows and not self.flat else [0]
        return fold.brought_together(along, keep=not self.flat)

    def kernel(self) -> Kernel:
        """The kernel and its launch."""
        body, parts = self.body(), f"{self.part}s"
        tile = {"PARTS": f"kw_power({parts})"}
        if self.flat:
            return Kernel(body=body, before=[], grid="1", tile=tile)
        extent = self.rows if self.stage.in_rows else self.lanes
        name = self.text.unique("tile_rows" if self.stage.in_rows else "tile_lanes")
        size = f"min(kw_power({extent}), max(16, BLOCK // kw_power({parts})))"
        grid = f"triton.cdiv({extent}, {name})"
        if not self.stage.in_rows and self.rows != "1":
            grid = f"{grouped(self.rows)} * {grid}"
        return Kernel(
            body=body,
            before=[f"{name} = {size}"],
            grid=grid,
            tile={("ROWS" if self.stage.in_rows else "LANES"): name} | tile,
        )


def _in_parts(nest: Nest, part: str) -> str:
    """Where in the tensors of parts a result is."""
    at = nest.text.index(result_at(nest.stage))
    count = nest.text.poly(results(nest.stage))
    start = part if count == "1" else f"{part} * {grouped(count)}"
    return start if at == "0" else f"{start} + {at}"
