"""The door to the sketches: from a problem and its graph to candidates, with no model asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kernelwright.core.candidate import Candidate
from kernelwright.core.graph import Graph
from kernelwright.core.problem import Problem
from kernelwright.knowledge.sketches.cpp.kernel import by_rows
from kernelwright.knowledge.sketches.site import NoSketch
from kernelwright.knowledge.sketches.stages import Plan, plan
from kernelwright.knowledge.sketches.triton.kernel import looped


@dataclass(frozen=True, kw_only=True)
class Covered:
    """Candidates that `sketch` made, the best guess first; they differ in structure."""

    candidates: tuple[Candidate, ...]
    sketch: str


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
    Sketch(name="by_rows", language="cpp", render=by_rows),
    Sketch(name="looped", language="triton", render=looped),
)


def drafts(problem: Problem, graph: Graph, language: str) -> Covered | NotCovered:
    """Every candidate that the sketches of `language` make of `graph`, best guess first."""
    known = [s for s in SKETCHES if s.language == language]
    if not known:
        return NotCovered(reason=f"There are no sketches in {language}.")
    try:
        classified = plan(problem, graph)
        made = [s.render(problem, classified) for s in known]
    except NoSketch as reason:
        return NotCovered(reason=str(reason))
    except RecursionError:
        return NotCovered(reason="The graph is too deep for a sketch.")
    unique = {c.id: c for c in made if c is not None}
    return Covered(candidates=tuple(unique.values()), sketch=known[0].name)
