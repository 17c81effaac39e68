"""Drawing lessons from pairs: what was surely worth it somewhere, and more often than not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from kernelwright.core.record import content_id
from kernelwright.core.statistics import SAME_WITHIN
from kernelwright.knowledge.lessons.lesson import Before, Evidence, Lesson, Repair, Setting
from kernelwright.learning.pairs import Pair

# What a pair counts in which the second failed and the first had not: a tenth of the speed.
FAILED = 0.1
# Of lessons on the same thing, such as the settings of one sketch, so many are worth a trial.
MOST_ALIKE = 2


def mined(pairs: Iterable[Pair], most: int = MOST_ALIKE) -> list[Lesson]:
    """The lessons that `pairs` suggest, each with all its evidence, that against it too.

    One must have been surely faster in some pair, and faster over all, each problem counting once;
    or have mended what had failed. Of those on the same thing the `most` best are kept, by their
    gain over all, of which little is believed where it is from few problems.
    """
    by_advice: dict[str, list[Pair]] = {}
    for pair in pairs:
        key = content_id(pair.language, pair.device, pair.advice.model_dump(mode="json"))
        by_advice.setdefault(key, []).append(pair)
    lessons = [
        Lesson(
            language=same[0].language,
            device=same[0].device,
            advice=same[0].advice,
            evidence=tuple(pair.evidence for pair in same),
        )
        for same in by_advice.values()
    ]
    return list(_best_of_alike([each for each in lessons if _suggested(each)], most))


def gain(lesson: Lesson) -> float:
    """The mean logarithm of the ratios of its evidence, each problem counting once, drawn to zero
    as if one more problem had shown no effect."""
    by_problem: dict[str, list[float]] = {}
    for evidence in lesson.evidence:
        by_problem.setdefault(evidence.problem, []).append(_log(evidence))
    means = [sum(logs) / len(logs) for logs in by_problem.values()]
    return sum(means) / (len(means) + 1)


def _suggested(lesson: Lesson) -> bool:
    if isinstance(lesson.advice, Repair):
        return True
    surely = any(e.ratio and e.ratio.ci_low > 1 + SAME_WITHIN for e in lesson.evidence)
    return surely and gain(lesson) > 0


def _log(evidence: Evidence) -> float:
    return math.log(max(evidence.ratio.mean, FAILED) if evidence.ratio else FAILED)


def _best_of_alike(lessons: Sequence[Lesson], most: int) -> Iterator[Lesson]:
    alike: dict[tuple[str, ...], list[Lesson]] = {}
    for lesson in lessons:
        alike.setdefault(_subject(lesson), []).append(lesson)
    for group in alike.values():
        yield from sorted(group, key=lambda lesson: (-gain(lesson), lesson.name))[:most]


def _subject(lesson: Lesson) -> tuple[str, ...]:
    """What it is about; two changes of a text are never about the same."""
    where = (lesson.language, lesson.device, lesson.advice.kind)
    match lesson.advice:
        case Setting(sketch=sketch, settings=settings):
            return (*where, sketch or "", *(() if sketch else sorted(settings)))
        case Before(sketch=sketch):
            return (*where, sketch)
        case _:
            return (*where, lesson.name)


def half(names: Iterable[str]) -> list[str]:
    """Half of `names`, the same half each time, picked without a look at what they stand for."""
    shuffled = sorted(names, key=content_id)
    return sorted(shuffled[: (len(shuffled) + 1) // 2])
