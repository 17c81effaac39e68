"""The sketches' drafts of one problem, as a run uses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Graph
from kernelwright.core.problem import Problem
from kernelwright.knowledge import actions
from kernelwright.knowledge.lessons.applying import Advised, fitting
from kernelwright.knowledge.lessons.lesson import Lesson
from kernelwright.knowledge.sketches.drafts import Covered, NotCovered, drafts


class Sketches:
    """The sketches' drafts in a language as lessons for the device `here` advise, traced and
    drafted once. `heeded` are the lessons that changed some of them. Where there are none, the
    reason ends with `advice`."""

    def __init__(
        self,
        problem: Problem,
        trace: Callable[[], Graph],
        here: str | None = None,
        lessons: Sequence[Lesson] = (),
        advice: str = "",
    ) -> None:
        self._problem = problem
        self._trace = trace
        self._here = here
        self._lessons = lessons
        self._advice = advice
        self._graph: Graph | None = None
        self._found: dict[str, Covered | NotCovered] = {}
        self.heeded: tuple[Lesson, ...] = ()

    def __call__(self, language: str) -> Covered | NotCovered:
        """The drafts, or why there are none; a reference that cannot be traced has none."""
        if language not in self._found:
            try:
                self._graph = self._graph or self._trace()
                found = drafts(self._problem, self._graph, language)
            except ProblemError as error:
                found = NotCovered(reason=str(error))
            if isinstance(found, NotCovered):
                self._found[language] = NotCovered(reason=f"{found.reason} {self._advice}".strip())
            else:
                self._found[language] = self._taught(found)
        return self._found[language]

    def _taught(self, found: Covered) -> Covered:
        language = found.candidates[0].language
        taught = Advised.of(found, fitting(self._lessons, language, self._here))
        self.heeded += taught.heeded
        return taught.covered

    def carrying(self, action: str, language: str) -> Covered | NotCovered:
        """Those drafts in `language` that carry out `action`, or why there are none."""
        found = self(language)
        if isinstance(found, NotCovered):
            return found
        reason = f"No sketch in {language} carries out {action!r} for this problem."
        return found.made_by(actions.sketches_of(action)) or NotCovered(reason=reason)
