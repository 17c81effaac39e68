"""Reductions in C++: how partial results begin, grow, and become one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kernelwright.knowledge.sketches.cpp.calls import TYPES
from kernelwright.knowledge.sketches.cpp.names import Names
from kernelwright.knowledge.sketches.stages import Fold
from kernelwright.knowledge.sketches.text import Text, grouped

_JOIN = {
    "sum": "{0} + {1}", "prod": "{0} * {1}", "max": "kw_max({0}, {1})", "min": "kw_min({0}, {1})",
    "any": "{0} || {1}", "all": "{0} && {1}", "argmax": "kw_max({0}, {1})",
    "argmin": "kw_min({0}, {1})",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FoldText:
    """One reduction's variables: lanes of partial results, the total, and the result's name."""

    fold: Fold
    part: str
    total: str
    result: str
    precise: bool = False

    @classmethod
    def of(cls, fold: Fold, text: Text, *, precise: bool = False) -> FoldText:
        """With new names. A `precise` one sums floats in double in every lane."""
        return cls(
            fold=fold,
            precise=precise,
            part=text.numbered("part"),
            total=text.numbered("total"),
            result=text.numbered(fold.kind if not fold.kind.startswith("arg") else "at"),
        )

    @property
    def by_position(self) -> bool:
        """Whether the result is where the extremum is, not what it is."""
        return self.fold.kind.startswith("arg")

    @property
    def _largest(self) -> str:
        return "true" if self.fold.kind == "argmax" else "false"

    @property
    def type(self) -> str:
        """The type of one lane."""
        return self.total_type if self.precise else TYPES[self.fold.dtype]

    @property
    def total_type(self) -> str:
        """The type of the total: blocks of a long sum are added in double."""
        sums_floats = self.fold.kind == "sum" and self.fold.dtype == "float32"
        return "double" if sums_floats else TYPES[self.fold.dtype]

    @property
    def nearer(self) -> FoldText | None:
        """Lanes of float beside those of double, for a few elements each; None where all are of one
        type."""
        if self.type == TYPES[self.fold.dtype]:
            return None
        return replace(self, part=f"{self.part}_near", precise=False)

    @property
    def identity(self) -> str:
        """What changes nothing when it is brought together with a number."""
        kind, dtype = self.fold.kind, self.fold.dtype
        if kind in ("sum", "any"):
            return {"bool": "false"}.get(dtype, f"{self.type}(0)")
        if kind in ("prod", "all"):
            return {"bool": "true"}.get(dtype, f"{self.type}(1)")
        return f"kw_worst<{self.type}, {'true' if kind in ('max', 'argmax') else 'false'}>()"

    def join(self, left: str, right: str) -> str:
        """Two partial results as one."""
        template = _JOIN[self.fold.kind]
        if self.fold.dtype == "bool":
            or_and = {"max": "{0} || {1}", "argmax": "{0} || {1}"}
            or_and |= {"min": "{0} && {1}", "argmin": "{0} && {1}"}
            template = or_and.get(self.fold.kind, template)
        return template.format(grouped(left), grouped(right))

    def declare_total(self) -> list[str]:
        """The total, before anything."""
        if self.by_position:
            return [
                f"{self.type} {self.total}_value = {self.identity};",
                f"int64_t {self.total} = INT64_MAX;",
            ]
        start = "0.0" if self.total_type == "double" and self.fold.kind == "sum" else self.identity
        return [f"{self.total_type} {self.total} = {start};"]

    def declare_part(self, count: str) -> list[str]:
        """`count` lanes, before anything."""
        arrays = [f"alignas(64) {self.type} {self.part}[{count}];"]
        fills = [f"std::fill_n({self.part}, {count}, {self.identity});"]
        if self.by_position and self.precise:
            arrays.append(f"alignas(64) int64_t {self.part}_at[{count}];")
            fills.append(f"std::fill_n({self.part}_at, {count}, INT64_MAX);")
        return [*arrays, *fills]

    def take(self, value: str, lane: str, position: str) -> str:
        """One more element into its lane; where it is only if the lane is a result of its own."""
        mine = f"{self.part}[{lane}]"
        if self.by_position and self.precise:
            place = f"{self.part}_at[{lane}]"
            return f"kw_better<{self._largest}>({mine}, {place}, {value}, {position});"
        return f"{mine} = {self.join(mine, value)};"

    def element(self, lane: str) -> str:
        """The result of one lane."""
        if self.by_position:
            return f"{self.part}_at[{lane}]"
        own = TYPES[self.fold.dtype]
        found = f"{self.part}[{lane}]"
        return found if own == self.type else f"static_cast<{own}>({found})"

    def add_lanes(self) -> list[str]:
        """All lanes into the total; `search` finds where the extremum of a block is."""
        both = f"[]({self.type} a, {self.type} b) {{ return {self.join('a', 'b')}; }}"
        joined = f"kw_joined({self.part}, {both})"
        if not self.by_position:
            return [f"{self.total} = {self.join(self.total, joined)};"]
        return [f"const {self.type} {self.part}_best = {joined};"]

    def search(self, names: Names, element: list[str], position: str) -> list[str]:
        """Where a better extremum than the total's is in the block; most blocks have none.

        `element` is the lines that work out the value of one element, called `part` + "_value".
        """
        best, mine, value = f"{self.part}_best", f"{self.total}_value", f"{self.part}_value"
        lane = names.lane
        return [
            f"if (kw_improves<{self._largest}>({mine}, {self.total}, {best})) {{",
            f"    {mine} = {best};",
            f"    for (int64_t {lane} = {names.begin}; {lane} < {names.end}; ++{lane}) {{",
            *(f"        {line}" for line in element),
            f"        if ({value} == {best} || ({value} != {value} && {best} != {best})) {{",
            f"            {self.total} = {position};",
            "            break;",
            "        }",
            "    }",
            "}",
        ]

    def totals(self) -> list[tuple[str, str, str]]:
        """The type, the name and the value of each variable that the total consists of."""
        if not self.by_position:
            return [(self.total_type, self.total, self.total)]
        value = f"{self.total}_value"
        return [(self.type, value, value), ("int64_t", self.total, self.total)]

    def gather(self, block: str) -> str:
        """The total of one block, kept by its number, into the total of a row."""
        theirs = f"{self.total}_blocks[{block}]"
        if not self.by_position:
            return f"{self.total} = {self.join(self.total, theirs)};"
        mine, value = f"{self.total}_value", f"{self.total}_value_blocks[{block}]"
        return f"kw_better<{self._largest}>({mine}, {self.total}, {value}, {theirs});"

    def finish(self) -> str:
        """The result, from the total."""
        if self.by_position:
            return f"const int64_t {self.result} = {self.total};"
        if self.total_type == self.type:
            return f"const {self.type} {self.result} = {self.total};"
        return f"const {self.type} {self.result} = static_cast<{self.type}>({self.total});"
