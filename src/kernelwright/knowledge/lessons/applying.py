"""Taking advice: which lessons fit, and what they change of the sketches' drafts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kernelwright.core.candidate import Candidate
from kernelwright.knowledge.lessons.lesson import Before, Lesson, Setting
from kernelwright.knowledge.sketches.drafts import Covered

Draft = tuple[str, Candidate]


def fitting(lessons: Iterable[Lesson], language: str, device: str | None) -> list[Lesson]:
    """Those for `language` on `device`, the largest effect first."""
    theirs = [found for found in lessons if (found.language, found.device) == (language, device)]
    return sorted(theirs, key=lambda lesson: (-_effect(lesson), lesson.name))


@dataclass(frozen=True, kw_only=True)
class Advised:
    """Drafts as lessons have them. `heeded` are the lessons that changed something."""

    covered: Covered
    heeded: tuple[Lesson, ...]

    @classmethod
    def of(cls, covered: Covered, lessons: Sequence[Lesson]) -> Advised:
        """`covered` with what `lessons` say, the first of which goes before the others.

        A draft that is begun otherwise stays in the list as the sketch has it, last, so that advice
        which fails here loses nothing but attempts.
        """
        heeded = [lesson for lesson in lessons if _advised(covered, (lesson,)) != covered]
        return cls(covered=_advised(covered, heeded), heeded=tuple(heeded))


def _advised(covered: Covered, lessons: Sequence[Lesson]) -> Covered:
    pairs: list[Draft] = list(zip(covered.sketches, covered.candidates, strict=True))
    for lesson in reversed(lessons):
        if isinstance(lesson.advice, Before):
            pairs = _moved(pairs, lesson.advice)
    settings = [lesson.advice for lesson in lessons if isinstance(lesson.advice, Setting)]
    begun = [(sketch, _begun(sketch, candidate, settings)) for sketch, candidate in pairs]
    known = {candidate.id for _, candidate in begun}
    plain = [pair for pair in pairs if pair[1].id not in known]
    sketches, candidates = zip(*begun, *plain, strict=True)
    return Covered(candidates=candidates, sketches=sketches)


def _effect(lesson: Lesson) -> float:
    found = lesson.trial.in_hand if lesson.trial else None
    return found.mean if found else 1.0


def _moved(pairs: list[Draft], advice: Before) -> list[Draft]:
    """The drafts of one sketch in front of the first of the other, where they stand behind it."""
    names = [sketch for sketch, _ in pairs]
    if advice.other not in names:
        return pairs
    place = names.index(advice.other)
    moved = [pair for pair in pairs[place:] if pair[0] == advice.sketch]
    return [*pairs[:place], *moved, *(pair for pair in pairs[place:] if pair not in moved)]


def _begun(sketch: str, candidate: Candidate, advice: Iterable[Setting]) -> Candidate:
    """`candidate` as `advice` has it, where that is among its choices; it never says a value
    again that was said before."""
    settings: dict[str, int] = {}
    for said in advice:
        if said.sketch in (None, sketch) and _can_be(candidate, said.settings):
            settings = {**said.settings, **settings}
    changed = dict(_changed(candidate, settings))
    return candidate.tuned({**candidate.settings, **changed}) if changed else candidate


def _can_be(candidate: Candidate, settings: dict[str, int]) -> bool:
    choices = {tunable.name: tunable.choices for tunable in candidate.tunables}
    return all(value in choices.get(name, ()) for name, value in settings.items())


def _changed(candidate: Candidate, settings: dict[str, int]) -> Iterator[tuple[str, int]]:
    values = candidate.values
    yield from ((name, value) for name, value in settings.items() if values[name] != value)
