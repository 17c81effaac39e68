"""Loop nests in Triton: one kernel for each stage, one program for a row or a block of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from kernelwright.knowledge.sketches.expr import Expr, Reduced, walk
from kernelwright.knowledge.sketches.poly import ONE, Poly
from kernelwright.knowledge.sketches.stages import Fold, Stage, Store
from kernelwright.knowledge.sketches.text import grouped, invariant
from kernelwright.knowledge.sketches.triton.calls import TYPES, number_text
from kernelwright.knowledge.sketches.triton.text import TritonText

INDENT = "    "


def indented(lines: list[str]) -> list[str]:
    """`lines`, moved to the right."""
    return [f"{INDENT}{line}" for line in lines]


@dataclass
class Nest:
    """One stage as the body of a kernel. `known` maps each expression that has a name to it."""

    text: TritonText
    stage: Stage
    known: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text = self.text
        self.row, self.depth, self.lane = map(text.unique, ("row", "k", "j"))
        self.begin, self.mask, self.program = map(text.unique, ("begin", "mask", "program"))
        text.vars.update(row=self.row, depth=self.depth, lane=self.lane, own=self.lane)

    # What a renderer needs: the body, and how many programs run it.

    def body(self) -> list[str]:
        """The lines of the kernel."""
        if not self.stage.passes:
            return self._pointwise()
        return self._by_row() if self.stage.in_rows else self._by_tile()

    def programs(self) -> str:
        """The size of the grid, as Python over the axes."""
        rows, lanes = grouped(self._size("row")), self._size("lane")
        if self.stage.passes and self.stage.in_rows:
            return rows
        return f"{rows} * triton.cdiv({lanes}, BLOCK)"

    def _size(self, role: str) -> str:
        extents: dict[str, Poly] = {
            "row": self.stage.row.extent,
            "depth": self.stage.depth.extent,
            "lane": self.stage.lane.extent,
        }
        return self.text.poly(extents[role])

    def _tile(self) -> list[str]:
        """The row and the block of it that this program is for."""
        lanes = self._size("lane")
        block = f"({self.program} % tl.cdiv({lanes}, BLOCK)) * BLOCK"
        return [
            f"{self.program} = tl.program_id(0).to(tl.int64)",
            f"{self.row} = {self.program} // tl.cdiv({lanes}, BLOCK)",
            f"{self.lane} = {block} + tl.arange(0, BLOCK)",
            f"{self.mask} = {self.lane} < {lanes}",
        ]

    def _pointwise(self) -> list[str]:
        self.text.mask = self.mask
        return [*self._tile(), *self._written(list(self.stage.stores))]

    def _by_tile(self) -> list[str]:
        """Neighbouring columns, each walked from its first row to its last."""
        self.text.mask = self.mask
        lines = self._tile()
        for folds in self.stage.passes:
            lines += self._hoisted([f.value for f in folds], "depth")
            lines += [line for f in folds for line in self._start(f)]
            lines += self._in_depth([line for f in folds for line in self._take(f)])
            for fold in folds:
                self._learn(fold, self._name(fold, "_at" if fold.kind.startswith("arg") else ""))
        lines += self._written([s for s in self.stage.stores if s.span == "row"])
        by_element = [s for s in self.stage.stores if s.span == "elements"]
        if by_element:
            lines += self._hoisted([s.value for s in by_element], "depth")
            lines += self._in_depth(self._written(by_element))
        return lines

    def _by_row(self) -> list[str]:
        """A row, block by block."""
        lines = [f"{self.row} = tl.program_id(0).to(tl.int64)"]
        for folds in self.stage.passes:
            lines += self._scalars([f.value for f in folds])
            lines += [line for f in folds for line in self._start(f)]
            takes = partial(self._takes, folds)
            lines += self._in_depth(self._in_blocks("lane", takes))
            lines += [line for f in folds for line in self._finish(f)]
        return lines + self._element_stores() + self._row_stores()

    def _element_stores(self) -> list[str]:
        by_element = [s for s in self.stage.stores if s.span == "elements"]
        if not by_element:
            return []
        lines = self._scalars([s.value for s in by_element])
        blocks = self._in_blocks("lane", partial(self._written, by_element))
        return lines + self._in_depth(blocks)

    def _row_stores(self) -> list[str]:
        """What is written once for a row, or over a loop of its own."""
        self.text.mask = ""
        lines = self._written([s for s in self.stage.stores if s.span == "row"])
        for store in self.stage.stores:
            if store.span == "own" and store.lane is not None:
                lines += self._scalars([store.value])
                extent = self.text.poly(store.lane.extent)
                lines += self._in_blocks(extent, partial(self._written, [store]))
        return lines

    def _scalars(self, roots: list[Expr]) -> list[str]:
        """Definitions of what is the same in the whole row."""
        self.text.mask = ""
        return self._hoisted(roots, "depth", "lane", "own")

    def _hoisted(self, roots: list[Expr], *inner: str) -> list[str]:
        found = invariant(self.text.maker, roots, set(inner), self.known)
        return self.text.define(found, self.known, name_roots=True)

    def _in_depth(self, body: list[str]) -> list[str]:
        if self.stage.depth.extent == ONE:
            return body
        return [f"for {self.depth} in range(0, {self._size('depth')}):", *indented(body)]

    def _in_blocks(self, extent: str, body: Callable[[], list[str]]) -> list[str]:
        """`body` for each block of a row; `extent` is the row's length, or "lane"."""
        length = self._size("lane") if extent == "lane" else extent
        self.text.mask = self.mask
        head = [
            f"{self.lane} = {self.begin} + tl.arange(0, BLOCK)",
            f"{self.mask} = {self.lane} < {length}",
        ]
        lines = [*head, *body()]
        self.text.mask = ""
        return [f"for {self.begin} in range(0, {length}, BLOCK):", *indented(lines)]

    def _written(self, stores: list[Store]) -> list[str]:
        inside, roots = dict(self.known), [s.value for s in stores]
        lines = self.text.define(roots, inside)
        for store in stores:
            at = self.text.index(store.at, inside)
            value = self.text.value(store.value, inside)
            mask = f", mask={self.mask}" if self.text.mask else ""
            lines.append(f"tl.store({self.text.tensors[store.target]} + {at}, {value}{mask})")
        return lines

    # Folds: a block of partial results, brought together at the end of a row.

    def _name(self, fold: Fold, suffix: str = "") -> str:
        number = [f.key for each in self.stage.passes for f in each].index(fold.key)
        return self.text.unique(f"part{number}{suffix}")

    def _identity(self, fold: Fold) -> str:
        whole = fold.dtype not in ("float32", "float64")
        match fold.kind:
            case "sum" | "any":
                return "0"
            case "prod" | "all":
                return "1"
            case "max" | "argmax":
                return _LEAST.get(fold.dtype, "0") if whole else "float('-inf')"
            case _:
                return _MOST.get(fold.dtype, "1") if whole else "float('inf')"

    def _start(self, fold: Fold) -> list[str]:
        kind = "tl.int32" if fold.dtype == "bool" else TYPES[fold.dtype]
        lines = [f"{self._name(fold)} = tl.full([BLOCK], {self._identity(fold)}, {kind})"]
        if fold.kind.startswith("arg"):
            last = number_text(2**62, "int64")
            lines.append(f"{self._name(fold, '_at')} = tl.full([BLOCK], {last}, tl.int64)")
        return lines

    def _take(self, fold: Fold) -> list[str]:
        inside = dict(self.known)
        lines = self.text.define([fold.value], inside)
        value, mine = self.text.value(fold.value, inside), self._name(fold)
        if fold.dtype == "bool":
            value = f"{grouped(value)}.to(tl.int32)"
        if fold.kind.startswith("arg"):
            return [*lines, *self._take_position(fold, value, inside)]
        joined = _JOIN[fold.kind].format(mine, grouped(value))
        return [*lines, f"{mine} = tl.where({self.mask}, {joined}, {mine})"]

    def _takes(self, folds: Sequence[Fold]) -> list[str]:
        return [line for fold in folds for line in self._take(fold)]

    def _take_position(self, fold: Fold, value: str, inside: dict[int, str]) -> list[str]:
        mine, at = self._name(fold), self._name(fold, "_at")
        new, place = self.text.numbered("value"), self.text.numbered("place")
        better = f"kw_better({new}, {place}, {mine}, {at}, {fold.kind == 'argmax'})"
        return [
            f"{new} = {value}",
            f"{place} = tl.zeros([BLOCK], tl.int64) + {self.text.index(fold.position, inside)}",
            f"first = {self.mask} & {better}",
            f"{mine} = tl.where(first, {new}, {mine})",
            f"{at} = tl.where(first, {place}, {at})",
        ]

    def _finish(self, fold: Fold) -> list[str]:
        name, mine = self.text.numbered(_RESULT[fold.kind]), self._name(fold)
        if fold.kind.startswith("arg"):
            found = f"kw_{fold.kind}_of({mine}, {self._name(fold, '_at')})"
        else:
            found = _REDUCE[fold.kind].format(mine)
        self._learn(fold, name)
        return [f"{name} = {found}"]

    def _learn(self, fold: Fold, name: str) -> None:
        needed = [s.value for s in self.stage.stores]
        needed += [f.value for each in self.stage.passes for f in each]
        for expr in walk(self.text.maker, needed):
            if isinstance(expr.form, Reduced) and expr.form.key == fold.key:
                boolean = expr.dtype == "bool"
                self.known[expr.number] = f"({name} != 0)" if boolean else name


_JOIN = {
    "sum": "{0} + {1}", "prod": "{0} * {1}", "max": "kw_max({0}, {1})", "min": "kw_min({0}, {1})",
    "any": "{0} | {1}", "all": "{0} & {1}",
}  # fmt: skip
_REDUCE = {
    "sum": "tl.sum({0}, axis=0)", "prod": "kw_prod_of({0})", "max": "kw_max_of({0})",
    "min": "kw_min_of({0})", "any": "tl.max({0}, axis=0)", "all": "tl.min({0}, axis=0)",
}  # fmt: skip
_RESULT = {k: k for k in _JOIN} | {"argmax": "at", "argmin": "at"}
_LEAST = {"int64": str(-(2**63)), "int32": str(-(2**31)), "int16": "-32768", "int8": "-128"}
_MOST = {
    "int64": str(2**63 - 1), "int32": str(2**31 - 1), "int16": "32767", "int8": "127",
    "uint8": "255",
}  # fmt: skip
