"""Matrix products in Triton: a tile of sums for each program, on tensor cores.

What is multiplied may be anything that the graph makes of its inputs: it is worked out as a tile is
loaded. What is made of a sum is worked out where the sum is. Values of float32 are multiplied in
pieces, with float32's accuracy; float32's own units are slower.

Where tiles are few and sums are long, several programs take a part of each sum, and `split.Joined`
brings the parts together.

Programs that follow each other share rows and columns in groups, as in Triton's tutorial on matrix
multiplication, so that what they read is still in the L2 cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kernelwright.knowledge.sketches.expr import Expr, Load, Reduced, walk
from kernelwright.knowledge.sketches.poly import ONE
from kernelwright.knowledge.sketches.poly import product as size_of
from kernelwright.knowledge.sketches.stages import Product, Store
from kernelwright.knowledge.sketches.text import grouped, invariant
from kernelwright.knowledge.sketches.triton.nests import Kernel, indented
from kernelwright.knowledge.sketches.triton.text import TritonText

# What values of float32 are multiplied as: three products of TF32 or six of bfloat16.
Pieces = Literal["tf32x3", "bf16x6"]
# How far a tile goes at least, in each of its loops: tensor cores take no fewer.
LEAST = 16
# A sum of fewer products is not worth a second kernel.
_LONG = 1024
# Rows of tiles that are neighbours in the order of the programs.
_GROUP = 8
_LOOPS = {
    "batch": "batch", "block": "place", "left": "row", "right": "column", "depth": "k",
    "tap": "tap",
}  # fmt: skip
_OTHERS = (
    "program", "tiles", "rows_of_tiles", "columns_of_tiles", "group", "first", "height", "steps",
    "row_in", "column_in", "k_in", "sums", "factor", "other_factor", "mask", "other_k",
)  # fmt: skip


@dataclass
class ProductNest:
    """A stage that is a matrix product, as a kernel: one that writes it, or with the name of a
    tensor as `parts` one that leaves parts of the sums there."""

    text: TritonText
    product: Product
    pieces: Pieces = "tf32x3"
    parts: str = ""
    known: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unique = self.text.unique
        self.text.vars.update({role: unique(loop) for role, loop in _LOOPS.items()})
        self.own = {name: unique(name) for name in _OTHERS}
        self.text.inside = self.own["mask"]
        self.text.policy = lambda _: ""

    def kernel(self) -> Kernel:
        """The kernel and its launch."""
        finished = self._left() if self.parts else self._finished()
        body = [*self._place(), *self._summed(), *finished]
        product, text = self.product, self.text
        rows, columns = (text.poly(v.extent) for v in (product.rows, product.columns))
        programs = [
            grouped(text.poly(v.extent)) for v in (product.batch, product.block) if v.extent != ONE
        ]
        programs += [f"triton.cdiv({rows}, TILE_ROWS)", f"triton.cdiv({columns}, TILE_COLUMNS)"]
        tiles = {name: name for name in ("TILE_ROWS", "TILE_COLUMNS", "TILE_DEPTH")}
        return Kernel(
            body=body, before=[], grid=" * ".join(programs), tile=tiles,
            options=("num_stages=STAGES",),
        )  # fmt: skip

    # Where a program is.

    def _place(self) -> list[str]:
        """The tile that a program is for: of which batch and block, and which rows and columns."""
        own, product, text = self.own, self.product, self.text
        rows, columns = own["rows_of_tiles"], own["columns_of_tiles"]
        program, group, first = own["program"], own["group"], own["first"]
        wide = f"{_GROUP} * {columns}"
        row, column = text.vars["left"], text.vars["right"]
        return [
            f"{rows} = tl.cdiv({text.poly(product.rows.extent)}, TILE_ROWS)",
            f"{columns} = tl.cdiv({text.poly(product.columns.extent)}, TILE_COLUMNS)",
            f"{program} = tl.program_id(0)",
            *self._outer(f"{rows} * {columns}"),
            f"{group} = {program} // ({wide})",
            f"{first} = {group} * {_GROUP}",
            f"{own['height']} = tl.minimum({rows} - {first}, {_GROUP})",
            f"{program} = {program} % ({wide})",
            f"{row} = (({first} + {program} % {own['height']}).to(INDEX) * TILE_ROWS"
            " + tl.arange(0, TILE_ROWS)[:, None])",
            f"{column} = (({program} // {own['height']}).to(INDEX) * TILE_COLUMNS"
            " + tl.arange(0, TILE_COLUMNS)[None, :])",
            f"{own['row_in']} = {row} < {text.poly(product.rows.extent)}",
            f"{own['column_in']} = {column} < {text.poly(product.columns.extent)}",
        ]

    def _outer(self, tiles: str) -> list[str]:
        """The batch and the block, of `tiles` each, and what is left of the program's number."""
        program, product = self.own["program"], self.product
        loops = [
            (self.text.vars[role], self.text.poly(var.extent))
            for role, var in (("batch", product.batch), ("block", product.block))
            if var.extent != ONE
        ]
        if not loops:
            return []
        own = self.own["tiles"]
        whole = f"({program} // {own}).to(INDEX)"
        (outer, _), *inner = loops
        lines = [f"{own} = {tiles}", f"{outer} = {whole}"]
        for name, extent in inner:
            lines += [f"{name} = {outer} % {extent}", f"{outer} = {outer} // {extent}"]
        return [*lines, f"{program} = {program} % {own}"]

    # Sums.

    def _summed(self) -> list[str]:
        """The sums of a tile, a step of the depth after another."""
        own, product, text = self.own, self.product, self.text
        before, body, names = list[str](), list[str](), [own["factor"], own["other_factor"]]
        for name, factor in zip(names, self._factors(product.left, product.right), strict=True):
            ahead, inside, (found,) = self._loaded(factor, own["steps"])
            before += ahead
            body += [*inside, f"{name} = {found}"]
        sums, steps = own["sums"], own["steps"]
        pieces = f'input_precision="{self.pieces}"'
        part, depth = self.part, text.poly(product.depth.extent)
        walk_of = f"range(0, {depth}, TILE_DEPTH)"
        if self.parts:
            before += [f"{part} = tl.program_id(1)", f"{part}s = tl.num_programs(1)"]
            walk_of = f"range({part} * TILE_DEPTH, {depth}, {part}s * TILE_DEPTH)"
        return [
            *before,
            f"{sums} = tl.zeros([TILE_ROWS, TILE_COLUMNS], tl.float32)",
            f"for {steps} in {walk_of}:",
            *indented(body),
            f"    {sums} += tl.dot({', '.join(names)}, {pieces})",
        ]

    def _factors(self, *pairs: Expr) -> tuple[_Factor, _Factor]:
        """The two sides, of which `pairs` are the values: left, right, left, right, ..."""
        own = self.own
        left = _Factor(
            values=pairs[::2], lane="left", mask=own["row_in"], shape="[TILE_ROWS, TILE_DEPTH]",
            depth=self.text.unique(_LOOPS["depth"]), expand="[None, :]",
        )  # fmt: skip
        right = _Factor(
            values=pairs[1::2], lane="right", mask=own["column_in"],
            shape="[TILE_DEPTH, TILE_COLUMNS]", depth=own["other_k"], expand="[:, None]",
        )  # fmt: skip
        return left, right

    def _loaded(self, factor: _Factor, begin: str) -> tuple[list[str], list[str], list[str]]:
        """A factor's tiles at the step of the depth that is from `begin` on: the lines before the
        loop over the steps, those in it, and the tiles as text."""
        text, own = self.text, self.own
        text.masks = {factor.lane: factor.mask, "depth": own["k_in"]}
        text.shape, text.vars["depth"] = factor.shape, factor.depth
        fixed = invariant(text.maker, factor.values, {"depth", "tap"}, self.known)
        before = text.define(fixed, self.known, name_roots=True)
        inside = dict(self.known)
        lines = [
            f"{factor.depth} = {begin} + tl.arange(0, TILE_DEPTH){factor.expand}.to(INDEX)",
            f"{own['k_in']} = {factor.depth} < {text.poly(self.product.depth.extent)}",
            f"{text.inside} = {factor.mask} & {own['k_in']}",
            *text.define(factor.values, inside),
        ]
        return before, lines, [self._filled(value, inside) for value in factor.values]

    def _filled(self, value: Expr, inside: dict[int, str]) -> str:
        """A factor's tile, of its whole shape."""
        found = self.text.value(value, inside)
        if not self.text.fills_tile(value):
            found = f"tl.zeros({self.text.shape}, tl.float32) + {grouped(found)}"
        # What is read beyond the depth is zero; what is made of it need not be.
        if not isinstance(value.form, Load):
            found = f"tl.where({self.own['k_in']}, {found}, 0.0)"
        return found

    @property
    def part(self) -> str:
        """The number of a program's part of the sums."""
        return self.text.unique("part")

    def _left(self) -> list[str]:
        """The part of the sums, where the parts are."""
        own, text, product = self.own, self.text, self.product
        loops = (product.batch, product.block, product.rows, product.columns)
        count = text.poly(size_of([v.extent for v in loops]))
        place = f"{self.part}.to(INDEX) * {grouped(count)} + {text.index(product.at)}"
        return [
            f"{text.inside} = {own['row_in']} & {own['column_in']}",
            f"tl.store({self.parts} + {place}, {own['sums']}, mask={text.inside})",
        ]

    # What is made of them.

    def _finished(self) -> list[str]:
        """What is made of the sums, and written."""
        text, own, stores = self.text, self.own, self.product.stores
        text.masks = {"left": own["row_in"], "right": own["column_in"]}
        text.shape = "[TILE_ROWS, TILE_COLUMNS]"
        inside, roots = dict(self.known), [s.value for s in stores]
        for expr in walk(text.maker, roots):
            if isinstance(expr.form, Reduced) and expr.form.key == self.product.key:
                inside[expr.number] = own["sums"]
        lines = [f"{text.inside} = {own['row_in']} & {own['column_in']}"]
        lines += text.define(roots, inside)
        return [*lines, *(self._stored(store, inside) for store in stores)]

    def _stored(self, store: Store, inside: dict[int, str]) -> str:
        text = self.text
        at, value = text.index(store.at, inside), text.value(store.value, inside)
        mask = text.mask(text.variables_of(store.at))
        extra = f", mask={mask}" if mask else ""
        return f"tl.store({text.tensors[store.target]} + {at}, {value}{extra})"


@dataclass(frozen=True, kw_only=True)
class _Factor:
    """One side of a product while its tiles are written: its `values`, the loop `lane` of its rows
    or columns and their `mask`, and how the loop of the depth is called and lies in a tile."""

    values: tuple[Expr, ...]
    lane: str
    mask: str
    shape: str
    depth: str
    expand: str


def fits(product: Product, sizes: Mapping[str, int]) -> bool:
    """Whether `product` is large enough for tensor cores at these sizes, and of a type that they
    multiply. A few rows are enough, or a few columns: what is read is the other side."""
    rows, columns, depth = (
        v.extent.at(sizes) for v in (product.rows, product.columns, product.depth)
    )
    few = min(rows, columns)
    return product.dtype == "float32" and few > 1 and min(max(rows, columns), depth) >= LEAST


def is_long(product: Product, sizes: Mapping[str, int]) -> bool:
    """Whether a sum is worth more than one program at these sizes."""
    return product.depth.extent.at(sizes) >= _LONG


def programs(product: Product, sizes: Mapping[str, int], tile: Mapping[str, int]) -> int:
    """How many programs there are at these sizes, with the tiles that `tile` says."""
    outer = product.batch.extent.at(sizes) * product.block.extent.at(sizes)
    rows = -(-product.rows.extent.at(sizes) // tile["TILE_ROWS"])
    return outer * rows * -(-product.columns.extent.at(sizes) // tile["TILE_COLUMNS"])
