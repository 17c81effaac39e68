"""Which lessons a run may use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kernelwright.core.problem import Problem
from kernelwright.core.protocols import Passage
from kernelwright.core.run import RunSpec
from kernelwright.generate.looking_up import Source, Task
from kernelwright.knowledge.lessons.applying import fitting
from kernelwright.knowledge.lessons.folder import SHIPPED, read_lessons
from kernelwright.knowledge.lessons.lesson import Change, Lesson, Repair
from kernelwright.library.near import print_of
from kernelwright.run.spec import ROLES


def lessons_of(spec: RunSpec) -> Sequence[Lesson]:
    """Those that trials have proven to help, of all that ship and of the folders that `spec` names.

    Raises:
        UsageError: a folder of lessons is not there, or holds something else.
    """
    folders = [SHIPPED, *map(Path, spec.lessons)] if spec.use_lessons else []
    return [lesson for lesson in read_lessons(folders) if lesson.status == "proven"]


def told_by(lessons: Sequence[Lesson], device: str | None) -> Source:
    """The source that tells a model of those of `lessons` that are for its language and `device`,
    each with what it was found to be worth."""

    def passages(task: Task) -> Iterator[Passage]:
        for lesson in fitting(lessons, task.language.name, device):
            change = getattr(lesson.advice, "diff", "")
            parts = (lesson.claim, lesson.effect, change)
            yield Passage(
                source="lessons of past searches",
                title=lesson.name.replace("-", " "),
                text="\n\n".join(part for part in parts if part),
            )

    return passages


def told_to_models(
    spec: RunSpec, lessons: Sequence[Lesson], device: str | None
) -> Iterator[Lesson]:
    """Those of `lessons` that the models of `spec` may be told, which no sketch makes use of."""
    if any(writer in ROLES for writer in spec.writers):
        for language in spec.languages:
            fit = fitting(lessons, language, device)
            yield from (each for each in fit if isinstance(each.advice, Change | Repair))


def not_drawn_from(problem: Problem, lessons: Iterable[Lesson]) -> list[Lesson]:
    """Those of which no evidence is from `problem`, or from one whose text is nearly its own."""
    here = print_of(problem.reference.text, ())
    near: dict[str, bool] = {}

    def from_here(lesson: Lesson) -> bool:
        for each in lesson.evidence:
            if each.reference not in near:
                near[each.reference] = here.near(print_of(each.reference, ()))
            if each.problem == problem.id or near[each.reference]:
                return True
        return False

    return [lesson for lesson in lessons if not from_here(lesson)]
