"""Asking writers to work on texts that were judged: repairs of what failed, and better texts.

Which text is worked on is up to a strategy; here is how, how often, and whether it helped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from kernelwright.core.candidate import Plan
from kernelwright.core.run import Attempt, History
from kernelwright.core.statistics import SAME_WITHIN
from kernelwright.search.drafting import Drafter, failed, plans
from kernelwright.search.lineage import Lineage

MAX_REPAIRS = 2

Maker = Callable[[], Plan | None]


def rewrite(
    parents: Sequence[Attempt], drafters: Sequence[Drafter], history: History
) -> Plan | None:
    """A plan to refine one parent, or to combine several, all in the language of the first.

    It is for whoever can work in that language, the first parent's own writer first; None when
    nobody can.
    """
    candidates = [parent.candidate for parent in parents if parent.candidate is not None]
    able = [d for d in drafters if d.refines and candidates]
    able = [d for d in able if d.language == candidates[0].language]
    if not able:
        return None
    kind = "refine" if len(candidates) == 1 else "combine"
    ids = tuple(candidate.id for candidate in candidates)
    return Plan(
        kind=kind,
        language=candidates[0].language,
        writer=min(able, key=lambda d: d.writer != parents[0].plan.writer).writer,
        parents=ids,
        variant=sum((p.kind, p.parents) == (kind, ids) for p in plans(history)),
    )


def next_repair(drafters: Sequence[Drafter], history: History) -> Plan | None:
    """A plan for a failure that may still be repaired; None when there is none."""
    made = (rewrite((broken,), drafters, history) for broken in to_repair(history))
    return next((plan for plan in made if plan is not None), None)


def in_turn(history: History, text: str | None, refine: Maker, tune: Maker) -> Plan | None:
    """What `refine` or `tune` makes, whichever was asked for less; the other where it makes none.

    Counted are the plans that worked on `text`; those on any text when it is None.
    """
    lineage = Lineage.of(history)
    ours = [p for p in plans(history) if text is None or lineage.worked_on(p) == text]
    refined = sum(improves(plan, lineage) for plan in ours)
    tuned = sum(plan.kind == "tune" for plan in ours)
    return refine() or tune() if refined <= tuned else tune() or refine()


def improves(plan: Plan, lineage: Lineage) -> bool:
    """Whether `plan` asks a writer for something better than a candidate that passed."""
    parent = _rewritten(plan, lineage)
    return parent is not None and not failed(parent)


def fruitless(history: History, text: str | None = None) -> int:
    """How many improvements by writers were asked for since one of them last gained on the best
    of all, or are out: improvements of `text`, or of any when it is None.

    A draft that gains counts when `text` is None.
    """
    lineage = Lineage.of(history)
    best, since = 0.0, 0
    for attempt in history.attempts:
        score = attempt.score or 0.0
        ours = text is None or lineage.worked_on(attempt.plan) == text
        if score > best * (1 + SAME_WITHIN) and attempt.plan.kind != "tune" and ours:
            since = 0
        elif ours and improves(attempt.plan, lineage):
            since += 1
        best = max(best, score)
    out = [p for p in history.pending if text is None or lineage.worked_on(p) == text]
    return since + sum(improves(plan, lineage) for plan in out)


def to_repair(history: History) -> Iterator[Attempt]:
    """The newest of each line of failures that may still be repaired, newest line first.

    A line begins with a failure that is no repair. Settings that failed are no text to repair.
    """
    lineage = Lineage.of(history)
    lines: dict[str, list[Attempt]] = {}
    for attempt in history.attempts:
        if attempt.candidate is not None and attempt.evaluation and attempt.plan.kind != "tune":
            lines.setdefault(_first_failure(attempt, lineage), []).append(attempt)
    repairs = [_repaired_line(plan, lineage) for plan in plans(history)]
    out = {_repaired_line(plan, lineage) for plan in history.pending}
    for line, attempts in reversed(lines.items()):
        mended = not all(failed(attempt) for attempt in attempts)
        if not mended and line not in out and repairs.count(line) < MAX_REPAIRS:
            yield attempts[-1]


def _rewritten(plan: Plan, lineage: Lineage) -> Attempt | None:
    """The attempt whose text a writer is asked to work on."""
    return lineage.parent(plan) if plan.kind in ("refine", "combine") else None


def _repaired_line(plan: Plan, lineage: Lineage) -> str | None:
    """The line of failures that `plan` repairs; None when it repairs nothing."""
    parent = _rewritten(plan, lineage)
    if parent is None or not failed(parent):
        return None
    return _first_failure(parent, lineage)


def _first_failure(attempt: Attempt, lineage: Lineage) -> str:
    """The id of the candidate with which the line of failures before `attempt` begins."""
    parent = _rewritten(attempt.plan, lineage)
    while parent is not None and failed(parent):
        attempt, parent = parent, _rewritten(parent.plan, lineage)
    return attempt.candidate.id if attempt.candidate else ""
