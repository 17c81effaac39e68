"""Loop nests in Triton: one kernel for each stage, over tiles of two loops.

A tile is [ROWS, LANES], or [DEPTHS, LANES] where a row has a loop between itself and its lanes or
is brought together down its columns; with a single row it is [LANES]. Its sizes are chosen at
launch: short rows share a program, long ones are walked tile by tile. Where the loops of a stage
are is an index of 32 bits, or 64 (`INDEX`) where a tensor needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from kernelwright.knowledge.sketches.expr import Expr, Load, Reduced, variables, walk
from kernelwright.knowledge.sketches.index import Data, atoms
from kernelwright.knowledge.sketches.poly import ONE, Poly
from kernelwright.knowledge.sketches.stages import Stage, Store
from kernelwright.knowledge.sketches.text import grouped, invariant
from kernelwright.knowledge.sketches.triton.folds import FoldText
from kernelwright.knowledge.sketches.triton.text import TritonText

INDENT = "    "


def indented(lines: list[str]) -> list[str]:
    """`lines`, moved to the right."""
    return [f"{INDENT}{line}" if line else line for line in lines]


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One kernel: its body, and what is said in Python where it is launched.

    `before` names what the launch needs, `grid` are the programs, `tile` its constants, `warps` how
    many of them a program has, and `options` what Triton is told beside that.
    """

    body: list[str]
    before: list[str]
    grid: str
    tile: dict[str, str]
    options: tuple[str, ...] = ()
    warps: str = "NUM_WARPS"


@dataclass
class Nest:
    """One stage as a kernel. `known` maps each expression that has a name to it."""

    text: TritonText
    stage: Stage
    known: dict[int, str] = field(default_factory=dict)
    # The number of the first fold, for names.
    begin_folds: int = 0

    def __post_init__(self) -> None:
        text, stage = self.text, self.stage
        self.row, self.depth, self.lane = map(text.unique, ("row", "k", "j"))
        self.program, self.begin = map(text.unique, ("program", "begin"))
        self.row_in, self.depth_in, self.lane_in = map(text.unique, ("row_in", "k_in", "j_in"))
        text.vars.update(row=self.row, depth=self.depth, lane=self.lane, own=self.lane)
        numbers = count(self.begin_folds)
        self.folds = [
            [FoldText(fold=f, number=next(numbers), text=text) for f in each]
            for each in stage.passes
        ]
        self.scans = [FoldText(fold=f, number=next(numbers), text=text) for f in stage.scans]
        # What runs along the first axis of a tile, if it has two.
        self.first = "depth" if stage.depth.extent != ONE else "row"
        self.flat = self.first == "row" and stage.row.extent == ONE
        text.masks = {"lane": self.lane_in, "own": self.lane_in}
        if not self.flat:
            mask = self.depth_in if self.first == "depth" else self.row_in
            text.masks = {self.first: mask, **text.masks}
        text.inside = text.unique("mask")
        text.shape = f"[{', '.join(self.sizes)}]"
        text.policy = lambda _: ""

    @property
    def sizes(self) -> list[str]:
        """The constants that are the tile's sizes."""
        first = "DEPTHS" if self.first == "depth" else "ROWS"
        return ["LANES"] if self.flat else [first, "LANES"]

    @property
    def rows(self) -> str:
        """How many rows there are, as text; so `depths` and `lanes`."""
        return self.text.poly(self.stage.row.extent)

    @property
    def depths(self) -> str:
        """How far the loop between the rows and the lanes goes."""
        return self.text.poly(self.stage.depth.extent)

    @property
    def lanes(self) -> str:
        """How many neighbours a row has."""
        return self.text.poly(self.stage.lane.extent)

    # Where a program is.

    def _arange(self, size: str, axis: int) -> str:
        expand = "" if self.flat else ("[:, None]", "[None, :]")[axis]
        return f"tl.arange(0, {size}){expand}"

    def _lanes_at(self, start: str, extent: str, *, joint: bool = True) -> list[str]:
        """The lanes of the tile that begins at `start`, and with `joint` where all of it exists."""
        begin = f"{start} + " if start else ""
        lines = [
            f"{self.lane} = {begin}{self._arange('LANES', 1)}.to(INDEX)",
            f"{self.lane_in} = {self.lane} < {extent}",
        ]
        if joint and not self.flat:
            lines.append(f"{self.text.inside} = {self.text.masks[self.first]} & {self.lane_in}")
        return lines

    def _rows_at(self, start: str, count: str) -> list[str]:
        return [
            f"{self.row} = {start} * ROWS + {self._arange('ROWS', 0)}",
            f"{self.row_in} = {self.row} < {count}",
        ]

    def _depths_at(self, start: str) -> list[str]:
        begin = f"{start} + " if start else ""
        return [
            f"{self.depth} = {begin}{self._arange('DEPTHS', 0)}.to(INDEX)",
            f"{self.depth_in} = {self.depth} < {self.depths}",
        ]

    def _row(self) -> list[str]:
        """The row or rows that a program is for."""
        if self.flat:
            return []
        if self.first == "row":
            return self._rows_at("tl.program_id(0).to(INDEX)", self.rows)
        return [f"{self.row} = tl.program_id(0).to(INDEX)"]

    def _column_tile(self) -> list[str]:
        """The row, and the columns of it, that a program is for."""
        tiles, program = self.text.unique("tiles"), self.program
        lines = [f"{program} = tl.program_id(0).to(INDEX)"]
        if self.stage.row.extent != ONE:
            lines += [
                f"{tiles} = tl.cdiv({self.lanes}, LANES)",
                f"{self.row} = {program} // {tiles}",
                f"{program} = {program} % {tiles}",
            ]
        return [
            *lines,
            f"{self.lane} = {program} * LANES + {self._arange('LANES', 1)}",
            f"{self.lane_in} = {self.lane} < {self.lanes}",
        ]

    # What it does there.

    def hoisted(self, roots: Sequence[Expr], *inner: str) -> list[str]:
        """Definitions of what the loops `inner` do not change."""
        found = invariant(self.text.maker, roots, set(inner), self.known)
        return self.text.define(found, self.known, name_roots=True)

    def ahead(self) -> list[str]:
        """What is read once for a row, and needs nothing that is found of it: it is asked for
        before the row is, since who asks after a reduction waits for memory once more."""
        roots = self._folded_values()
        found = self.loads([*roots, *(s.value for s in self.stage.stores)])
        once = [
            e for e in found if not {v.name for v in variables(self.text.maker, e)} & {*self.walks}
        ]
        return self.text.define(once, self.known, name_roots=True)

    def loads(self, roots: Sequence[Expr]) -> list[Expr]:
        """What `roots` read that needs nothing that is found of a row."""
        maker = self.text.maker
        return [
            e
            for e in walk(maker, roots, self.known)
            if isinstance(e.form, Load)
            and not any(isinstance(part.form, Reduced) for part in walk(maker, [e]))
        ]

    @property
    def walks(self) -> tuple[str, ...]:
        """The loops that a program walks through, or holds."""
        return ("depth", "lane", "own") if self.stage.in_rows else ("depth",)

    def written(self, stores: Sequence[Store]) -> list[str]:
        """The values of `stores`, each where it belongs."""
        inside = dict(self.known)
        lines = self.text.define([s.value for s in stores], inside)
        for store in stores:
            at, value = self.text.index(store.at, inside), self.text.value(store.value, inside)
            lines.append(self.stored(self.text.tensors[store.target], at, value, store))
        return lines

    def stored(self, target: str, at: str, value: str, store: Store) -> str:
        """One store, where there is something to store."""
        mask = self.text.mask(self.text.variables_of(store.at))
        return f"tl.store({target} + {at}, {value}{f', mask={mask}' if mask else ''})"

    def spanning(self, span: str) -> list[Store]:
        """The stores of one kind."""
        return [s for s in self.stage.stores if s.span == span]

    def learn(self, fold: FoldText) -> None:
        """From here on, the results of `fold` have names."""
        needed = [s.value for s in self.stage.stores]
        self.learn_in(fold, needed + self._folded_values())

    def _folded_values(self) -> list[Expr]:
        """What passes and scans bring together."""
        return [f.value for each in (*self.stage.passes, self.stage.scans) for f in each]

    def learn_in(self, fold: FoldText, roots: Sequence[Expr]) -> None:
        """The results of `fold` have names in `roots`."""
        for expr in walk(self.text.maker, roots):
            if isinstance(expr.form, Reduced) and expr.form.key in fold.results:
                self.known[expr.number] = fold.results[expr.form.key]

    def brought_together(self, fold: FoldText) -> list[str]:
        """The results of `fold`, from tiles to one for each row, or for each column."""
        self.learn(fold)
        if not self.stage.in_rows:
            return fold.brought_together([0], keep=True)
        if self.flat:
            return fold.brought_together([0], keep=False)
        if self.first == "row":
            return fold.brought_together([1], keep=True)
        return fold.brought_together([1, 0], keep=False)

    @property
    def along(self) -> int:
        """The axis of a tile along which neighbours are brought together."""
        return 1 if self.stage.in_rows and not self.flat else 0

    @property
    def folded(self) -> str:
        """Where in a tile there is something to bring together."""
        if not self.stage.in_rows:
            return self.depth_in
        return self.lane_in if self.first == "row" else self.text.inside

    def after_rows(self) -> list[str]:
        """What is written once for a row, or over a loop of its own."""
        lines = self.written(self.spanning("row"))
        for store in self.spanning("own"):
            assert store.lane is not None
            lines += self.hoisted([store.value], "depth", "lane", "own")
            extent = self.text.poly(store.lane.extent)
            body = [*self._lanes_at(self.begin, extent, joint=self.first == "row")]
            body += self.written([store])
            lines += [f"for {self.begin} in range(0, {extent}, LANES):", *indented(body)]
        return lines

    # What a load asks of the caches.

    def reads_once(self, again: Sequence[Expr] = ()) -> Callable[[Expr], str]:
        """A policy: what nobody reads again leaves first, what every row reads stays.

        `again` is what is worked out later, from memory.
        """
        later = {e.number for e in walk(self.text.maker, again) if isinstance(e.form, Load)}
        streams = {"row", "lane"} if self.first == "row" else {"depth", "lane"}

        def policy(expr: Expr) -> str:
            assert isinstance(expr.form, Load)
            varying = self.text.variables_of(expr.form.at)
            if any(isinstance(a, Data) for a in atoms(expr.form.at)) or "lane" not in varying:
                return ""
            if expr.number in later:
                return "evict_last"
            if self.flat or streams <= varying:
                return "evict_first"
            return "" if self.first == "depth" else "evict_last"

        return policy


class Pointwise(Nest):
    """A stage without reductions or scans: a tile of elements for each program."""

    def __post_init__(self) -> None:
        super().__post_init__()
        stage, text = self.stage, self.text
        # Rows and depths are one loop here, which is divided into the two once for each line.
        self.first = "row"
        self.lines: Poly = stage.row.extent * stage.depth.extent
        self.flat = self.lines == ONE
        text.masks = {"lane": self.lane_in, "own": self.lane_in}
        if not self.flat:
            text.masks = {"row": self.row_in, "depth": self.row_in, **text.masks}
        text.shape = f"[{', '.join(self.sizes)}]"

    def kernel(self) -> Kernel:
        """The kernel and its launch."""
        text, lanes = self.text, self.lanes
        body = self._flat() if self.flat else self._lines()
        body += self.written(self.stage.stores)
        if self.flat:
            return Kernel(
                body=body, before=[], grid=f"triton.cdiv({lanes}, BLOCK)", tile={"LANES": "BLOCK"}
            )
        tile_lanes, tile_rows = text.unique("tile_lanes"), text.unique("tile_rows")
        lines = grouped(text.poly(self.lines))
        return Kernel(
            body=body,
            before=[
                f"{tile_lanes} = kw_lanes({lanes}, BLOCK)",
                f"{tile_rows} = BLOCK // {tile_lanes}",
            ],
            grid=f"triton.cdiv({lines}, {tile_rows}) * triton.cdiv({lanes}, {tile_lanes})",
            tile={"ROWS": tile_rows, "LANES": tile_lanes},
        )

    def _flat(self) -> list[str]:
        return [
            f"{self.lane} = tl.program_id(0).to(INDEX) * LANES + {self._arange('LANES', 1)}",
            f"{self.lane_in} = {self.lane} < {self.lanes}",
        ]

    def _lines(self) -> list[str]:
        tiles, program = self.text.unique("tiles"), self.program
        lines = [
            f"{tiles} = tl.cdiv({self.lanes}, LANES)",
            f"{program} = tl.program_id(0).to(INDEX)",
            *self._rows_at(f"{program} // {tiles}", self.text.poly(self.lines)),
            *self._lanes_at(f"{program} % {tiles} * LANES", self.lanes),
        ]
        if self.stage.depth.extent != ONE:
            lines += [
                f"{self.depth} = {self.row} % {self.depths}",
                f"{self.row} = {self.row} // {self.depths}",
            ]
        return lines
