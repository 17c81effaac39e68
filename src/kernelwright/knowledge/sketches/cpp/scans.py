"""Scans of rows in C++: vectors of values become running values on the way from reads to stores."""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.knowledge.sketches.cpp.calls import TYPES
from kernelwright.knowledge.sketches.stages import Fold
from kernelwright.knowledge.sketches.text import Text

# In each, `a` comes before `b`; numbers and vectors of them alike.
_JOIN = {
    "sum": "a + b",
    "prod": "a * b",
    "max": "(a > b) | (a != a) ? a : b",
    "min": "(a < b) | (a != a) ? a : b",
}


@dataclass(frozen=True, kw_only=True)
class ScanText:
    """One scan's variables: the running value, and what comes before the block at hand.

    A `held` one has the running values of a block in an array, for stores that come later.
    """

    fold: Fold
    running: str
    carried: str
    held: bool

    @classmethod
    def of(cls, fold: Fold, text: Text, *, held: bool) -> ScanText:
        """With new names."""
        running, carried = text.numbered("running"), text.numbered("carried")
        return cls(fold=fold, running=running, carried=carried, held=held)

    @property
    def type(self) -> str:
        """The type of a running value. A part of a product may be large where all of it is not."""
        return self._carried_type if self.fold.kind == "prod" else TYPES[self.fold.dtype]

    @property
    def _carried_type(self) -> str:
        """The type of what is carried from block to block: there are many in a long row."""
        grows = self.fold.kind in ("sum", "prod") and self.fold.dtype == "float32"
        return "double" if grows else TYPES[self.fold.dtype]

    def _neutral(self, kind: str) -> str:
        match self.fold.kind:
            case "sum":
                return f"{kind}(0)"
            case "prod":
                return f"{kind}(1)"
            case other:
                return f"kw_worst<{kind}, {'true' if other == 'max' else 'false'}>()"

    def declare_carried(self) -> str:
        """What is before the first block."""
        return f"{self._carried_type} {self.carried} = {self._neutral(self._carried_type)};"

    def declare_block(self, count: str) -> list[str]:
        """The running values of a block, where they are held."""
        return [f"alignas(64) {self.type} {self.running}[{count}];"] if self.held else []

    def run(self, item: str, count: str, get: list[str], put: list[str]) -> list[str]:
        """The first `count` running values of a block, each from the lines `get` of its `item`, and
        given to the lines `put`."""
        join = f"[](auto a, auto b) {{ return {_JOIN[self.fold.kind]}; }}"
        name = f"{self.running}_value" if self.held else self.running
        if self.held:
            put = [f"{self.running}[{item}] = {name};"]
        return [
            f"kw_run({count}, {self.carried}, {self._neutral(self.type)}, {join},",
            f"    [&](int64_t {item}) {{",
            *(f"        {line}" for line in get),
            "    },",
            f"    [&](int64_t {item}, {self.type} {name}) {{",
            *(f"        {line}" for line in put),
            "    });",
        ]

    def element(self, item: str) -> str:
        """The running value at one element."""
        own = TYPES[self.fold.dtype]
        found = f"{self.running}[{item}]" if self.held else self.running
        return found if own == self.type else f"static_cast<{own}>({found})"
