"""What loop nests in C++ have in common: their names, their sizes, and how blocks are written.

`rows` and `columns` are the two kinds of nest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from kernelwright.knowledge.sketches.cpp.calls import TYPES
from kernelwright.knowledge.sketches.cpp.inside import Inside, conditions, freed
from kernelwright.knowledge.sketches.cpp.names import Names
from kernelwright.knowledge.sketches.expr import Expr, Reduced, walk
from kernelwright.knowledge.sketches.index import Var
from kernelwright.knowledge.sketches.poly import ONE
from kernelwright.knowledge.sketches.rewrites import by_reciprocal
from kernelwright.knowledge.sketches.stages import Stage, Store, mapped
from kernelwright.knowledge.sketches.text import Text, grouped, invariant

INDENT = "    "


def indented(lines: Iterable[str], by: int = 1) -> list[str]:
    """`lines`, moved to the right; directives of the preprocessor stay."""
    return [f"{INDENT * by}{line}" if line else line for line in lines]


@dataclass
class Nest(ABC):
    """One stage as text. `known` maps each expression that has a name to it."""

    text: Text
    stage: Stage
    known: dict[int, str] = field(default_factory=dict)

    # The loops that a division is moved out of, as a reciprocal.
    inner: ClassVar[set[str]] = {"depth", "lane", "own"}

    def __post_init__(self) -> None:
        self.names = Names.of(self.text)
        maker = self.text.maker
        self.stage = mapped(self.stage, lambda e: by_reciprocal(maker, e, self.inner))

    @abstractmethod
    def lines(self) -> list[str]:
        """The whole stage, as a block."""

    def sizes(self) -> list[str]:
        """Definitions of how far each loop goes."""
        names, stage = self.names, self.stage
        lines = [f"const int64_t {names.rows} = {self.text.poly(stage.row.extent)};"]
        if self.deep:
            lines.append(f"const int64_t {names.depths} = {self.text.poly(stage.depth.extent)};")
        lines.append(f"const int64_t {names.lanes} = {self.text.poly(stage.lane.extent)};")
        if written := self._written_bytes():
            large = f"{written} >= KW_STREAM_FROM"
            lines.append(f"const bool {names.stream} = STREAM && {large};")
        return lines

    @property
    def deep(self) -> bool:
        """Whether there is a loop between the rows and the lanes."""
        return self.stage.depth.extent != ONE

    def _written_bytes(self) -> str:
        """How many bytes the stage writes in whole blocks, as C++; empty if none."""
        sizes = []
        for store in self.stage.stores:
            if store.span == "row":
                continue
            own = self.stage.lane.extent * self.stage.depth.extent
            extent = store.lane.extent if store.lane else own
            elements = self.text.poly(self.stage.row.extent * extent)
            sizes.append(f"{grouped(elements)} * int64_t(sizeof({TYPES[store.dtype]}))")
        return " + ".join(sizes)

    def parallel(self, loop: list[str]) -> list[str]:
        """`loop`, run by several threads if there is work for them."""
        names = self.names
        work = " * ".join([names.rows, *([names.depths] if self.deep else []), names.lanes])
        lines = [f"#pragma omp parallel if ({work} >= GRAIN)", "{", *indented(loop)]
        if self._written_bytes():
            lines += indented([f"if ({names.stream}) kw_stream_end();"])
        return [*lines, "}"]

    def hoisted(self, roots: list[Expr], *inner: str) -> list[str]:
        """Definitions of what the loops `inner` do not change."""
        found = invariant(self.text.maker, roots, set(inner), self.known)
        return self.text.define(found, self.known, name_roots=True)

    def learn(self, key: str, name: str) -> None:
        """From here on, the result of reduction `key` is called `name`."""
        needed = [s.value for s in self.stage.stores]
        needed += [f.value for each in (*self.stage.passes, self.stage.scans) for f in each]
        for expr in walk(self.text.maker, needed):
            if isinstance(expr.form, Reduced) and expr.form.key == key:
                self.known[expr.number] = name

    def in_depth(self, body: list[str]) -> list[str]:
        """`body` for each position between the rows and the lanes, if there are any."""
        if not self.deep:
            return body
        k = self.names.depth
        head = f"for (int64_t {k} = 0; {k} < {self.names.depths}; ++{k}) {{"
        return [head, *indented(body), "}"]

    def target(self, store: Store) -> str:
        """The tensor that `store` writes to."""
        return self.text.tensors[store.target]

    def assigned(self, store: Store, known: dict[int, str]) -> str:
        """One element written where it belongs."""
        at, value = self.text.index(store.at, known), self.text.value(store.value, known)
        return f"{self.target(store)}[{at}] = {value};"

    def counted(self, limit: str, block: str) -> str:
        """The definition of how many elements the block has that begins at `begin`."""
        names = self.names
        return f"const int64_t {names.count} = std::min<int64_t>({block}, {limit} - {names.begin});"

    def over_block(self, body: list[str], first: str = "0", last: str = "") -> list[str]:
        """`body` for each element of a block, from `first` on and before `last`, if these are
        given."""
        names, l = self.names, self.names.item  # noqa: E741
        return [
            "#pragma omp simd",
            f"for (int64_t {l} = {first}; {l} < {last or names.count}; ++{l}) {{",
            f"    const int64_t {names.lane} = {names.begin} + {l};",
            *indented(body),
            "}",
        ]

    def elements(
        self,
        stores: list[Store],
        block: str,
        over: Callable[[list[str]], list[str]] | None = None,
    ) -> list[str]:
        """One block of stores: written where they belong, or into a buffer and past the cache.

        `over` makes the loop over what is done with each element, `over_block` unless it is given.
        """
        lane = stores[0].lane or self.stage.lane
        roots = [s.value for s in stores]
        known = conditions(self.text.maker, roots, lane)
        inner = [freed(self.text.maker, root, known) for root in roots]
        inside = dict(self.known)
        outer = invariant(self.text.maker, [*roots, *inner], {"lane", "own"}, inside)
        lines = self.text.define(outer, inside, name_roots=True)
        targets, ends = [], []
        for store in stores:
            begun, to, end = self._buffered(store, lane, block)
            lines += begun
            targets.append(to)
            ends.append(end)
        if over is not None or not known:
            body = self._assigned_to(targets, roots, inside)
            return [*lines, *(over or self.over_block)(body), *ends]
        first, last = self.text.numbered("first"), self.text.numbered("last")
        lines += self._range(known, first, last, inside)
        lines += self._over_borders(self._assigned_to(targets, roots, dict(inside)), first, last)
        body = self._assigned_to(targets, inner, inside)
        return [*lines, *self.over_block(body, first, last), *ends]

    def _assigned_to(
        self, targets: list[str], values: list[Expr], known: dict[int, str]
    ) -> list[str]:
        """One element of each of `targets`."""
        lines = self.text.define(values, known)
        item = self.names.item
        for to, value in zip(targets, values, strict=True):
            lines.append(f"{to}[{item}] = {self.text.value(value, known)};")
        return lines

    def _range(
        self, known: list[Inside], first: str, last: str, inside: dict[int, str]
    ) -> list[str]:
        """Definitions of from where to where in the block all of `known` hold."""
        names, holding = self.names, list[str]()
        begins, ends = ["int64_t(0)"], [names.count]
        for each in known:
            if each.step is None:
                holding.append(grouped(self.text.value(each.condition, inside)))
                continue
            for at, found in ((each.begin, begins), (each.end, ends)):
                lane = f"int64_t({self.text.index(at, inside)}) / {each.step}"
                found.append(f"{lane} - {names.begin}")
        begin, end = (", ".join(dict.fromkeys(found)) for found in (begins, ends))
        everywhere = " && ".join(dict.fromkeys(holding))
        end = f"std::min({{{end}}})"
        return [
            f"const int64_t {first} = std::min(std::max({{{begin}}}), {names.count});",
            f"const int64_t {last} = "
            f"std::max({f'{everywhere} ? {end} : {first}' if holding else end}, {first});",
        ]

    def _over_borders(self, body: list[str], first: str, last: str) -> list[str]:
        """`body` for each element of a block before `first`, and from `last` on."""
        names, l = self.names, self.names.item  # noqa: E741
        return [
            f"for (int64_t {l} = {first} > 0 ? 0 : {last}; {l} < {names.count};",
            f"     {l} = {l} + 1 == {first} ? {last} : {l} + 1) {{",
            f"    const int64_t {names.lane} = {names.begin} + {l};",
            *indented(body),
            "}",
        ]

    def _buffered(self, store: Store, lane: Var, block: str) -> tuple[list[str], str, str]:
        """What begins a block, the name of what it is written to, and what ends it."""
        names, buffer, to = self.names, self.text.numbered("buffer"), self.text.numbered("to")
        kind = TYPES[store.dtype]
        rest = self.text.index(store.at.without(lane), self.known)
        start = names.begin if rest == "0" else f"{rest} + {names.begin}"
        place = f"{self.target(store)} + {start}"
        begun = [
            f"alignas(64) {kind} {buffer}[{block}];",
            f"{kind}* const {to} = {names.stream} ? {buffer} : {place};",
        ]
        return begun, to, f"if ({names.stream}) kw_stream({place}, {buffer}, {names.count});"
