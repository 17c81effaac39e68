"""Rows that a program holds, and beside them reductions down the columns of the same elements.

What the gradient of a normalisation is: every program takes many rows, one after another, and
keeps partial results of all columns meanwhile, so that nothing is read twice. `split.Joined` brings
the parts of the programs together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kernelwright.knowledge.sketches.expr import Expr, Load, Maker, renamed, replaced
from kernelwright.knowledge.sketches.index import Index
from kernelwright.knowledge.sketches.poly import ONE
from kernelwright.knowledge.sketches.stages import Stage, mapped, tensors_read
from kernelwright.knowledge.sketches.triton.folds import FoldText
from kernelwright.knowledge.sketches.triton.nests import Kernel, indented
from kernelwright.knowledge.sketches.triton.resident import Whole
from kernelwright.knowledge.sketches.triton.split import partial
from kernelwright.knowledge.sketches.triton.unfold import is_single

# Longer rows leave a program no room for what it keeps of every column.
LONGEST = 8192


def beside(maker: Maker, rows: Stage, columns: Stage) -> Stage | None:
    """`columns` as reductions of the elements that `rows` holds; None if they are of others."""
    fits = (
        rows.in_rows
        and not columns.in_rows
        and is_single(columns)
        and (rows.depth.extent, columns.row.extent) == (ONE, ONE)
        and (rows.row.extent, rows.lane) == (columns.depth.extent, columns.lane)
    )
    if not fits:
        return None
    kept = {s.target: s for s in rows.stores if s.span == "row"}
    names = {columns.depth: rows.row}

    def held(expr: Expr) -> Expr | None:
        """What `rows` would have written, as it stands there."""
        if isinstance(expr.form, Load) and expr.form.tensor in kept:
            store = kept[expr.form.tensor]
            return store.value if store.at == expr.form.at else None
        return None

    found = mapped(columns, lambda e: replaced(maker, renamed(maker, e, names), held))
    if tensors_read(maker, found) & {s.target for s in rows.stores}:
        return None
    passes = tuple(
        tuple(replace(f, position=_position(f.position, columns, rows)) for f in each)
        for each in found.passes
    )
    return replace(found, passes=passes)


def _position(at: Index, columns: Stage, rows: Stage) -> Index:
    return Index(
        tuple((rows.row if a == columns.depth else a, c) for a, c in at.terms), at.constant
    )


@dataclass
class Across(Whole):
    """The rows of a stage as a whole, with the folds of `columns`, from `beside`."""

    columns: Stage | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.columns is not None
        begin = self.begin_folds + sum(map(len, self.folds)) + len(self.scans)
        self.column_folds = [
            FoldText(fold=f, number=begin + n, text=self.text)
            for n, f in enumerate(self.columns.passes[0])
        ]

    @property
    def _values(self) -> list[Expr]:
        return [f.fold.value for f in self.column_folds]

    def _after(self, number: int) -> list[Expr]:
        return [*super()._after(number), *self._values]

    def body(self) -> list[str]:
        """The lines of the kernel."""
        stage, program = self.stage, self.program
        roots = self._folded_values()
        roots += [*(s.value for s in stage.stores), *self._values]
        self.text.policy = self.reads_once()
        lines = [
            f"{program} = tl.program_id(0).to(INDEX)",
            f"{program}s = tl.num_programs(0)",
            *self._lanes_at("", self.lanes)[:2],
            *self.hoisted(roots, "row"),
            *[line for f in self.column_folds for line in f.start()],
            f"for {self.begin} in range({program} * ROWS, {self.rows}, {program}s * ROWS):",
            *indented(self._rows_held()),
        ]
        mask = self.text.masks["lane"]
        for fold in self.column_folds:
            lines += fold.brought_together([0], keep=True)
            lines += [
                f"tl.store({self.text.unique(partial(s))} + {program} * {self.lanes} + "
                f"{self.lane}, {s.result}, mask={mask})"
                for s in fold.states
            ]
        return lines

    def _rows_held(self) -> list[str]:
        """What is done with each of the rows in turn."""
        lines = [
            f"{self.row} = {self.begin} + {self._arange('ROWS', 0)}",
            f"{self.row_in} = {self.row} < {self.rows}",
            f"{self.text.inside} = {self.row_in} & {self.lane_in}",
            *self._passes(),
        ]
        lines += self.text.define(self._values, self.known)
        for fold in self.column_folds:
            lines += fold.take(self.known, self.row_in)
        return lines + self._stores()

    def learn(self, fold: FoldText) -> None:
        """From here on, the results of `fold` have names; the columns' folds use them too."""
        super().learn(fold)
        self.learn_in(fold, self._values)

    def kernel(self) -> Kernel:
        """The kernel and its launch."""
        lanes, rows = self.text.unique("tile_lanes"), self.text.unique("tile_rows")
        return Kernel(
            body=self.body(),
            before=[
                f"{lanes} = kw_power({self.lanes})",
                f"{rows} = max(1, BLOCK // {lanes})",
            ],
            grid=f"kw_parts(1, triton.cdiv({self.rows}, {rows}))",
            tile={"ROWS": rows, "LANES": lanes},
        )

    def condition(self) -> str:
        """When there is room for all columns, as Python."""
        return f"{self.lanes} <= {LONGEST}"

    @staticmethod
    def fits_lanes(rows: Stage, sizes: Mapping[str, int]) -> bool:
        """Whether there is room for all columns at these sizes."""
        return rows.lane.extent.at(sizes) <= LONGEST
