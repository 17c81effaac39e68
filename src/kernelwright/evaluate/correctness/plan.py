"""Which cases a candidate is asked: workloads and distributions, chosen at random for each draw.

The choice is part of the secret: two draws ask the same workload under different distributions.
Nothing is drawn here.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence

from kernelwright.core.problem import Problem, Workload
from kernelwright.evaluate.defences import Defences

Planned = list[tuple[Workload, str]]

_LARGE_BYTES = 16 << 20
_AUDIT_BYTES = 1 << 20
_AT_REPORT, _AT_LARGE_REPORT = 6, 2
# Sums that are exact, and values that overflow what is not guarded: asked of some size each time.
_OF_SOME_SIZE = ("integer", "large", "offset", "far")


def plan_screen(problem: Problem, distributions: Sequence[str], defences: Defences) -> Planned:
    """Two quick cases on the smallest workload that a search may see."""
    known = _allowed(distributions, defences)
    smallest = min(problem.split("search") or problem.split("report"), key=problem.traffic_bytes)
    names: list[str] = [name for name in ("integer", "normal") if name in known]
    return [(smallest, name) for name in (names or list(known[:1]))]


def plan_core(problem: Problem, distributions: Sequence[str], defences: Defences) -> Planned:
    """Two cases for each workload, one where it is large, and more at the report size, where a
    kernel has most reason to cut corners. Distributions take turns until each was used."""
    known = _allowed(distributions, defences)
    turns = _turns(known)
    others = [*problem.split("search")]
    if defences.hidden_workloads:
        others += problem.split("hidden")
    planned = [
        (workload, next(turns))
        for workload in others
        for _ in range(1 if _is_large(problem, workload) else min(2, len(known)))
    ]
    asked = _at_report(problem, known, turns)
    quick = [w for w in others if not _is_large(problem, w)]
    if quick:
        largest = max(quick, key=problem.traffic_bytes)
        planned += [(largest, n) for n in _OF_SOME_SIZE if n in known and n not in asked]
    return planned + [(problem.report_workload, name) for name in asked]


def plan_audit(problem: Problem, distributions: Sequence[str], defences: Defences) -> Planned:
    """One case for each workload that is small enough to run under a sanitizer."""
    known = _allowed(distributions, defences)
    turns = _turns(known)
    small = [w for w in problem.workloads if problem.traffic_bytes(w) <= _AUDIT_BYTES]
    if not defences.hidden_workloads:
        small = [w for w in small if w.split != "hidden"]
    return [(workload, next(turns)) for workload in small]


def plan_single(problem: Problem, _: Sequence[str], __: Defences) -> Planned:
    """One case at the report size, as the file draws it."""
    return [(problem.report_workload, "file")]


def _allowed(distributions: Sequence[str], defences: Defences) -> list[str]:
    if not defences.distributions:
        return ["file"]
    return [d for d in distributions if d != "integer" or defences.exact_integers]


def _turns(names: Sequence[str]) -> Iterator[str]:
    """All of `names` in a random order, again and again."""
    chance = secrets.SystemRandom()
    while True:
        yield from chance.sample(names, len(names))


def _is_large(problem: Problem, workload: Workload) -> bool:
    return problem.traffic_bytes(workload) > _LARGE_BYTES


def _at_report(problem: Problem, known: Sequence[str], turns: Iterator[str]) -> list[str]:
    """What the file draws, what is asked of some size as far as there is time, and others."""
    most = _AT_LARGE_REPORT if _is_large(problem, problem.report_workload) else _AT_REPORT
    chosen = ["file", *(name for name in _OF_SOME_SIZE if name in known)][:most]
    for _ in range(2 * len(known)):
        name = next(turns)
        if len(chosen) < most and name not in chosen:
            chosen.append(name)
    return chosen[:most]
