"""Rows whose costly elements are worked out once: a pass keeps them for what comes after it."""

from __future__ import annotations

from dataclasses import dataclass, field

from kernelwright.knowledge.sketches.cpp.calls import TYPES
from kernelwright.knowledge.sketches.cpp.rows import RowNest
from kernelwright.knowledge.sketches.expr import Expr, variables, walk
from kernelwright.knowledge.sketches.rewrites import is_heavy
from kernelwright.knowledge.sketches.stages import Stage
from kernelwright.knowledge.sketches.text import Text


def shared(text: Text, stage: Stage) -> dict[int, list[Expr]]:
    """For each pass, the costly expressions of its elements that later loops need again."""
    found: dict[int, list[Expr]] = {}
    kept = set[int]()
    for number, folds in enumerate(stage.passes):
        later = [f.value for each in (*stage.passes[number + 1 :], stage.scans) for f in each]
        later += [s.value for s in stage.stores if s.span == "elements"]
        again = {e.number for e in walk(text.maker, later)}
        costly = [
            e
            for e in walk(text.maker, [f.value for f in folds])
            if e.number in again and is_heavy(e) and stage.lane in variables(text.maker, e)
        ]
        inner = {e.number for c in costly for e in walk(text.maker, [c])[:-1]}
        outermost = [e for e in costly if e.number not in inner | kept]
        if outermost:
            found[number] = outermost
            kept |= {e.number for e in outermost}
    return found


@dataclass
class StoredRowNest(RowNest):
    """A row nest in which each thread has memory for one row of what is needed again."""

    stored: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shared = {} if self.deep else shared(self.text, self.stage)
        for expr in [e for each in self.shared.values() for e in each]:
            self.stored[expr.number] = self.text.numbered("kept_row")
        self.kinds = {e.number: TYPES[e.dtype] for each in self.shared.values() for e in each}

    def _row_memory(self) -> list[str]:
        lines = []
        for number, name in self.stored.items():
            kind = self.kinds[number]
            memory = f"{name}_memory(new {kind}[static_cast<std::size_t>({self.names.lanes})])"
            lines.append(f"const std::unique_ptr<{kind}[]> {memory};")
            lines.append(f"{kind}* const {name} = {name}_memory.get();")
        return lines

    def _after_element(self, number: int, inside: dict[int, str]) -> list[str]:
        lane = self.names.lane
        return [
            f"{self.stored[e.number]}[{lane}] = {self.text.value(e, inside)};"
            for e in self.shared.get(number, [])
        ]

    def _extra_roots(self, number: int) -> list[Expr]:
        return self.shared.get(number, [])

    def _pass(self, number: int) -> list[str]:
        lines = super()._pass(number)
        for expr in self.shared.get(number, []):
            self.known[expr.number] = f"{self.stored[expr.number]}[{self.names.lane}]"
        return lines
