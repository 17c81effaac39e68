"""What promotion adds to verification: other numbers of threads, and sanitized builds.

All of it runs on the exam's audit cases, one of each small workload, hidden ones included. What is
looked for on a GPU is in `device_audit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kernelwright.core.candidate import Candidate
from kernelwright.core.problem import Problem
from kernelwright.core.protocols import BuildPlan, FindsRaces, Language
from kernelwright.evaluate.correctness import device_audit
from kernelwright.evaluate.defences import Defences
from kernelwright.evaluate.running.runner import threads
from kernelwright.problems.reference import Device


@dataclass(frozen=True)
class Sanitized:
    """A build that ends its process on what it finds. `optional` ones may fail to start here."""

    name: str
    plan: Callable[[], BuildPlan]
    optional: bool


def screen_threads(defences: Defences) -> int | None:
    """How many threads the screen has: more than processors, and than its cases have rows or so."""
    return threads() + 1 if defences.thread_counts else None


def other_thread_counts(defences: Defences) -> tuple[int, ...]:
    """The numbers of threads that the audit tries: all that are not every processor."""
    if not defences.thread_counts:
        return ()
    return tuple(sorted({1, 2, threads() + 1} - {threads()}))


def sanitized(
    language: Language, candidate: Candidate, problem: Problem, defences: Defences
) -> Iterator[Sanitized]:
    """The sanitized builds of `candidate` that its language has."""
    if defences.sanitizers:
        yield Sanitized(
            "memory errors and undefined behaviour",
            lambda: language.build(candidate, problem, sanitize=True),
            optional=False,
        )
    if defences.thread_sanitizer and isinstance(language, FindsRaces):
        races = language
        if races.missing_race_check() is None:
            yield Sanitized(
                "data races", lambda: races.race_build(candidate, problem), optional=True
            )


def unsanitized(language: Language, device: Device) -> Iterator[str]:
    """What no sanitizer looks for in this language on this device, for `not_checked`."""
    if device == "cuda":
        yield from device_audit.left_out(language.lane)
    elif language.lane != "native":
        yield "sanitizers: they need the native lane"
    elif not isinstance(language, FindsRaces):
        yield f"data races: there is no thread sanitizer for {language.name}"
    elif (missing := language.missing_race_check()) is not None:
        yield f"data races: {missing}"
