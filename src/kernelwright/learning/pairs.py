"""Pairs of candidates of which the second was made of the first: what lessons are drawn from.

A pool has all settings of a text, so it has every pair that differs in settings, and every pair of
sketches. A run has what its writers and its tuner made of a parent.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kernelwright.compare.pool import Pool, PooledDraft
from kernelwright.core.candidate import Candidate
from kernelwright.core.diagnosis import Bottleneck
from kernelwright.core.evaluation import BuildFailed, Outcome, Passed
from kernelwright.core.interval import Interval
from kernelwright.core.problem import Problem
from kernelwright.core.run import Attempt, History
from kernelwright.core.statistics import by_way_of_baseline
from kernelwright.knowledge.lessons.lesson import Advice, Before, Change, Evidence, Repair, Setting
from kernelwright.library.records import device_name
from kernelwright.search.lineage import Lineage, text_id

_LONGEST_DIFF = 60  # lines
_LONGEST_COMPLAINT = 200


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What was changed, where, and what came of it."""

    language: str
    device: str
    advice: Advice
    evidence: Evidence


def in_pool(name: str, pool: Pool) -> Iterator[Pair]:
    """What each setting of a text is worth against its first guess, and the first guess of each
    draft against those of the drafts before it."""
    for number, draft in enumerate(pool.head.drafts):
        for candidate in draft.settings:
            changed = _changed(draft.candidate, candidate)
            if changed:
                advice = Setting(sketch=draft.sketch, settings=changed)
                yield _pooled(name, pool, draft.candidate, candidate, advice)
        for earlier in _others(pool.head.drafts[:number], draft):
            swapped = Before(sketch=draft.sketch, other=earlier.sketch)
            yield _pooled(name, pool, earlier.candidate, draft.candidate, swapped)


def _others(earlier: Sequence[PooledDraft], draft: PooledDraft) -> Iterator[PooledDraft]:
    language = draft.candidate.language
    yield from (each for each in earlier if each.candidate.language == language)


def _pooled(name: str, pool: Pool, slow: Candidate, fast: Candidate, advice: Advice) -> Pair:
    outcomes = [pool.seen[candidate.id].outcome for candidate in (slow, fast)]
    if slow.id in pool.again and fast.id in pool.again:
        outcomes = [pool.again[candidate.id].outcome for candidate in (slow, fast)]
    return Pair(
        language=slow.language,
        device=device_name(pool.head.environment),
        advice=advice,
        evidence=Evidence(
            source=f"pool {name}",
            problem=pool.head.problem.id,
            reference=pool.head.problem.reference.text,
            slow=slow.id,
            fast=fast.id,
            ratio=_ratio(*outcomes),
        ),
    )


def in_run(name: str, problem: Problem, history: History) -> Iterator[Pair]:
    """What was made of a parent: faster by other settings or another text, or mended."""
    lineage = Lineage.of(history)
    for attempt in history.attempts:
        parent = lineage.parent(attempt.plan)
        if parent is None or not _both_judged(parent, attempt):
            continue
        before, after = _judged(parent), _judged(attempt)
        advice = _advice(before, after, attempt.plan.action)
        if advice is None:
            continue
        yield Pair(
            language=after.candidate.language,
            device=after.device,
            advice=advice,
            evidence=Evidence(
                source=f"run {name}",
                problem=problem.id,
                reference=problem.reference.text,
                slow=before.candidate.id,
                fast=after.candidate.id,
                ratio=_ratio(before.outcome, after.outcome),
            ),
        )


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    candidate: Candidate
    outcome: Outcome
    device: str


def _both_judged(*attempts: Attempt) -> bool:
    return all(attempt.candidate and attempt.evaluation for attempt in attempts)


def _judged(attempt: Attempt) -> _Verdict:
    assert attempt.candidate is not None
    assert attempt.evaluation is not None
    return _Verdict(
        candidate=attempt.candidate,
        outcome=attempt.evaluation.outcome,
        device=device_name(attempt.evaluation.environment),
    )


def _advice(before: _Verdict, after: _Verdict, action: str | None) -> Advice | None:
    """What the pair teaches; None of a pair in two languages, or that ended in a failure."""
    if not isinstance(after.outcome, Passed):
        return None
    if before.candidate.language != after.candidate.language:
        return None
    if text_id(before.candidate) == text_id(after.candidate):
        changed = _changed(before.candidate, after.candidate)
        passed = isinstance(before.outcome, Passed)
        return Setting(sketch=None, settings=changed) if changed and passed else None
    diff = _diff(before.candidate, after.candidate)
    if isinstance(before.outcome, Passed):
        return Change(action=action, bottleneck=_bottleneck(before.outcome), diff=diff)
    return Repair(failure=before.outcome.kind, complaint=_complaint(before.outcome), diff=diff)


def _changed(before: Candidate, after: Candidate) -> dict[str, int]:
    values = before.values
    return {n: value for n, value in sorted(after.values.items()) if values.get(n) != value}


def _ratio(before: Outcome, after: Outcome) -> Interval | None:
    if not isinstance(before, Passed) or not isinstance(after, Passed):
        return None
    found = by_way_of_baseline(after.measurements, before.measurements)
    if found is None:
        return None
    return Interval(mean=found.median, ci_low=found.ci_low, ci_high=found.ci_high)


def _bottleneck(outcome: Passed) -> Bottleneck | None:
    return outcome.profile.bottleneck if outcome.profile else None


def _complaint(outcome: Outcome) -> str:
    """The line that says most of a failure, without what differs from run to run."""
    match outcome:
        case BuildFailed(diagnostics=said):
            lines = [line.strip() for line in said.splitlines() if "error" in line.lower()]
            found = lines[0].partition("error")[2].lstrip(": ") if lines else said.strip()
        case Passed():
            found = ""
        case _:
            about = ("rule", "detail", "evidence", "stage")
            parts = [getattr(outcome, field, None) for field in about]
            found = ": ".join(str(part) for part in parts if part)
    return found[:_LONGEST_COMPLAINT] or outcome.kind.replace("_", " ")


def _diff(before: Candidate, after: Candidate) -> str:
    """The change of the texts in the unified form, cut after so many lines."""
    lines: list[str] = []
    for name in sorted({*before.source.files, *after.source.files}):
        ours, theirs = before.source.files.get(name, ""), after.source.files.get(name, "")
        lines += difflib.unified_diff(
            ours.splitlines(), theirs.splitlines(), name, name, n=2, lineterm=""
        )
    cut = ["[… left out …]"] if len(lines) > _LONGEST_DIFF else []
    return "\n".join([*lines[:_LONGEST_DIFF], *cut])
