"""Finding the cut of a program: which of its operators sketches cover, and in what pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kernelwright.core.cut import Cut, Outline, Region, Uncovered
from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Graph
from kernelwright.core.problem import Problem, Source
from kernelwright.knowledge.sketches.drafts import Covered, drafts
from kernelwright.problems.regions.cutting import by_product, in_order, maximal, trimmed
from kernelwright.problems.regions.units import Unit, units_of
from kernelwright.problems.regions.writing import Part, part_of, source_of, unchecked
from kernelwright.problems.sizes import pick_trace_workloads

Trace = Callable[[Problem], Graph]

_VIEWS_ALONE = "It only shows memory in another way, which torch does at no cost."
_NO_WORK = "It computes nothing from what it is given."


def file_of(number: int) -> str:
    """What the reference file of a region is called."""
    return f"region_{number}.py"


def find_cut(problem: Problem, outline: Outline, trace: Trace, languages: Sequence[str]) -> Cut:
    """The cut of `problem`: sets of operators, as large as they can be, that sketches of one of
    `languages` draft as a whole. Where that is all of it, each product is a region.

    `trace` gives the graph of a part, as a problem that nothing was checked of. What cannot be a
    region stays torch, with the reason.
    """
    finder = _Finder(problem, outline, trace, languages)
    covered = [unit.name for unit in finder.units if finder.takes(unit)]
    parts = maximal(finder.units, covered)
    if len(parts) == 1 and len(covered) == len(finder.units):
        parts = by_product(finder.units, parts[0])
    for part in parts:
        finder.make(part)
    return finder.cut()


@dataclass
class _Finder:
    """`found` are the regions so far, by their units; `reasons` say why a unit stays torch."""

    problem: Problem
    outline: Outline
    trace: Trace
    languages: Sequence[str]
    found: dict[tuple[str, ...], Region] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    tried: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.units: tuple[Unit, ...] = units_of(self.outline.graph)
        self.outputs = self.outline.graph.outputs

    def takes(self, unit: Unit) -> bool:
        """Whether a sketch drafts `unit` alone; views and constants go with what is beside them."""
        if unit.is_work:
            reason = self._reason([unit.name])
            if reason is not None:
                self.reasons[unit.name] = reason
            return reason is None
        return self._is_plain(unit)

    def _is_plain(self, unit: Unit) -> bool:
        dtypes = {n.name: n.dtype for n in self.outline.graph.nodes}
        dtypes |= {v.name: v.dtype for v in self.outline.graph.inputs}
        return all(dtypes.get(name) is not None for name in (*unit.reads, *unit.makes))

    def _reason(self, names: Sequence[str]) -> str | None:
        """Why these units are no region by themselves; looked at at one set of sizes only."""
        try:
            part = part_of(self.problem, self.outline, names)
            source = source_of(self.problem, self.outline, part, "part.py", "A part.")
        except ProblemError as error:
            return str(error)
        if source.text not in self.tried:
            small = pick_trace_workloads(self.problem)[0]
            small = small.model_copy(update={"split": "report"})
            few = self.problem.model_copy(update={"workloads": (small,)})
            drafted = self._drafted(few, part, source)
            self.tried[source.text] = drafted if isinstance(drafted, str) else None
        return self.tried[source.text]

    def _drafted(
        self, problem: Problem, part: Part, source: Source
    ) -> tuple[str, tuple[str, ...]] | str:
        """A language and the sketches that draft `part` in it; else why none does."""
        said = "There is no language to write it in."
        try:
            alone = unchecked(problem, self.outline, part, source)
            graph = self.trace(alone)
        except ProblemError as error:
            return str(error)
        for language in reversed(self.languages):
            made = drafts(alone, graph, language)
            if isinstance(made, Covered):
                return language, made.sketches
            said = made.reason
        return said

    def make(self, part: Sequence[str]) -> None:
        """Make `part` a region, or what it falls apart into; else say why it stays torch."""
        kept = trimmed(self.units, part, self.outputs)
        inside = [unit for unit in self.units if unit.name in kept]
        if not any(unit.is_work for unit in inside):
            return
        said = self._made(kept)
        if said is None:
            return
        pieces = by_product(self.units, kept)
        if len(pieces) > 1:
            for piece in pieces:
                self.make(piece)
            return
        self.reasons.update(dict.fromkeys(kept, said))

    def _made(self, names: tuple[str, ...]) -> str | None:
        number = len(self.found) + 1
        try:
            part = part_of(self.problem, self.outline, names)
            ops = tuple(unit.op for unit in part.units)
            title = f"Part {number} of {self.problem.title}: {', '.join(ops)}."
            source = source_of(self.problem, self.outline, part, file_of(number), title)
        except ProblemError as error:
            return str(error)
        drafted = self._drafted(self.problem, part, source)
        if isinstance(drafted, str):
            return drafted
        language, sketches = drafted
        self.found[names] = Region(
            number=number,
            nodes=names,
            ops=ops,
            reads=part.reads,
            makes=part.makes,
            language=language,
            sketches=tuple(dict.fromkeys(sketches)),
            seconds=self._seconds(part.units),
            source=source,
        )
        return None

    def _seconds(self, units: Sequence[Unit]) -> float:
        return sum(self.outline.seconds[node.name] for unit in units for node in unit.nodes)

    def cut(self) -> Cut:
        """What was found, in an order in which it can run."""
        by_name = {unit.name: unit for unit in self.units}
        regions, torch = [], []
        for part in in_order(self.units, list(self.found)):
            if part in self.found:
                regions.append(self.found[part])
                continue
            unit = by_name[part[0]]
            usual = _VIEWS_ALONE if unit.is_view else _NO_WORK
            torch.append(
                Uncovered(
                    nodes=part,
                    ops=(unit.op,),
                    reason=self.reasons.get(unit.name, usual),
                    seconds=self._seconds([unit]),
                )
            )
        return Cut(outline=self.outline, regions=tuple(regions), torch=tuple(torch))
