"""The door to the sketches: from a problem and its graph to candidates, with no model asked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from kernelwright.core.candidate import Candidate
from kernelwright.core.graph import Graph
from kernelwright.core.problem import Problem
from kernelwright.knowledge.sketches.cpp.kernel import online, packed, recomputed, stored, unsplit
from kernelwright.knowledge.sketches.planner import plan
from kernelwright.knowledge.sketches.site import NoSketch
from kernelwright.knowledge.sketches.stages import Plan
from kernelwright.knowledge.sketches.triton.kernel import (
    divided,
    divided_in_bfloat16,
    flash,
    flash_in_bfloat16,
    looped,
    packed_in_tf32,
    resident,
    spread,
    tiled,
    tiled_in_bfloat16,
    together,
)


@dataclass(frozen=True, kw_only=True)
class Covered:
    """Candidates, the best guess first; they differ in structure. `sketches` made them."""

    candidates: tuple[Candidate, ...]
    sketches: tuple[str, ...]

    def made_by(self, sketches: Collection[str]) -> Covered | None:
        """Those that `sketches` made; None where they made nothing."""
        pairs = list(zip(self.candidates, self.sketches, strict=True))
        theirs = [pair for pair in pairs if pair[1] in sketches]
        if not theirs:
            return None
        candidates, names = zip(*theirs, strict=True)
        return Covered(candidates=candidates, sketches=names)


@dataclass(frozen=True, kw_only=True)
class NotCovered:
    """No sketch fits; `reason` is a sentence that names what stopped it."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A skeleton: one way to turn a plan into a candidate in one language.

    `render` returns None where the skeleton would be no different from one before it.
    """

    name: str
    language: str
    render: Callable[[Problem, Plan], Candidate | None]


SKETCHES: tuple[Sketch, ...] = (
    Sketch(name="online", language="cpp", render=online),
    Sketch(name="packed", language="cpp", render=packed),
    Sketch(name="stored", language="cpp", render=stored),
    Sketch(name="recomputed", language="cpp", render=recomputed),
    Sketch(name="unsplit", language="cpp", render=unsplit),
    Sketch(name="flash", language="triton", render=flash),
    Sketch(name="flash_in_bfloat16", language="triton", render=flash_in_bfloat16),
    Sketch(name="packed_in_tf32", language="triton", render=packed_in_tf32),
    Sketch(name="divided", language="triton", render=divided),
    Sketch(name="divided_in_bfloat16", language="triton", render=divided_in_bfloat16),
    Sketch(name="tiled", language="triton", render=tiled),
    Sketch(name="tiled_in_bfloat16", language="triton", render=tiled_in_bfloat16),
    Sketch(name="resident", language="triton", render=resident),
    Sketch(name="together", language="triton", render=together),
    Sketch(name="looped", language="triton", render=looped),
    Sketch(name="spread", language="triton", render=spread),
)


def drafts(problem: Problem, graph: Graph, language: str) -> Covered | NotCovered:
    """Every candidate that the sketches of `language` make of `graph`, best guess first."""
    known = [s for s in SKETCHES if s.language == language]
    if not known:
        return NotCovered(reason=f"There are no sketches in {language}.")
    made: dict[str, tuple[Candidate, str]] = {}
    reasons: list[str] = []
    planned: Plan | None = None
    for sketch in known:
        try:
            # A plan is worked out anew once something was rendered: that adds to its expressions,
            # and a candidate must not depend on which others were made before it.
            fresh = planned or plan(problem, graph)
            planned, count = None, len(fresh.lowering.maker)
            candidate = sketch.render(problem, fresh)
            if candidate is None and len(fresh.lowering.maker) == count:
                planned = fresh
        except NoSketch as reason:
            reasons.append(str(reason))
        except RecursionError:
            reasons.append("The graph is too deep for a sketch.")
        else:
            if candidate is not None:
                made.setdefault(candidate.id, (candidate, sketch.name))
    if not made:
        return NotCovered(reason=reasons[0] if reasons else f"No sketch in {language} fits.")
    candidates, names = zip(*made.values(), strict=True)
    return Covered(candidates=candidates, sketches=names)
