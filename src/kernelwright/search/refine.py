"""Draft, repair what failed, then improve the best: by a writer where there is one, by tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kernelwright.core.candidate import Plan
from kernelwright.core.run import Attempt, History
from kernelwright.core.statistics import SAME_WITHIN
from kernelwright.search.drafting import Drafter, failed, next_draft, one_by_one, plans
from kernelwright.search.tuning import next_tune

MAX_REPAIRS = 2


@dataclass(frozen=True, kw_only=True)
class Refine:
    """First all drafts; then repairs; then, in turn, a refinement of the best and a tuning.

    A candidate that failed is repaired at most twice, counting repairs of its repairs.
    Refinements end after `patience` in a row that gained nothing.
    """

    drafters: tuple[Drafter, ...]
    seed: int = 0
    patience: int = 6

    def ask(self, history: History, count: int) -> Sequence[Plan]:
        """Up to `count` plans; empty when nothing is left that is worth an attempt."""
        return one_by_one(self._following, history, count)

    def _following(self, history: History) -> Plan | None:
        return (
            next_draft(self.drafters, history)
            or next_repair(self.drafters, history)
            or self._improvement(history)
        )

    def _improvement(self, history: History) -> Plan | None:
        """A refinement or a tuning, whichever was asked for less."""
        refined = sum(_refines_a_pass(plan, history) for plan in plans(history))
        tuned = sum(plan.kind == "tune" for plan in plans(history))
        if refined <= tuned:
            return self._refinement(history) or next_tune(history, seed=self.seed)
        return next_tune(history, seed=self.seed) or self._refinement(history)

    def _refinement(self, history: History) -> Plan | None:
        out = sum(_refines_a_pass(plan, history) for plan in history.pending)
        if history.best is None or fruitless(history) + out >= self.patience:
            return None
        return rewrite(history.best, self.drafters, history)


def next_repair(drafters: Sequence[Drafter], history: History) -> Plan | None:
    """A `refine` plan for the newest failure that somebody may and can repair."""
    made = (rewrite(broken, drafters, history) for broken in to_repair(history))
    return next((plan for plan in made if plan is not None), None)


def rewrite(parent: Attempt, drafters: Sequence[Drafter], history: History) -> Plan | None:
    """A `refine` plan for whoever can work in the parent's language, its own writer first."""
    candidate = parent.candidate
    able = [d for d in drafters if d.refines and candidate is not None]
    able = [d for d in able if candidate and d.language == candidate.language]
    if candidate is None or not able:
        return None
    writer = min(able, key=lambda d: d.writer != parent.plan.writer).writer
    parents = (candidate.id,)
    again = [p for p in plans(history) if (p.kind, p.parents) == ("refine", parents)]
    return Plan(
        kind="refine",
        language=candidate.language,
        writer=writer,
        parents=parents,
        variant=len(again),
    )


def fruitless(history: History) -> int:
    """How many refinements of a passed candidate have ended since a writer's text last gained."""
    best, since = 0.0, 0
    for attempt in history.attempts:
        score = attempt.score or 0.0
        if score > best * (1 + SAME_WITHIN) and attempt.plan.kind != "tune":
            since = 0
        elif _refines_a_pass(attempt.plan, history):
            since += 1
        best = max(best, score)
    return since


def to_repair(history: History) -> Iterator[Attempt]:
    """The newest of each line of failures that may still be repaired, newest line first.

    A line begins with a failure that is no repair. Settings that failed are no text to repair.
    """
    lines: dict[str, list[Attempt]] = {}
    for attempt in history.attempts:
        if attempt.candidate is not None and attempt.evaluation and attempt.plan.kind != "tune":
            lines.setdefault(_first_failure(attempt, history), []).append(attempt)
    repairs = [_repaired_line(plan, history) for plan in plans(history)]
    out = {_repaired_line(plan, history) for plan in history.pending}
    for line, attempts in reversed(lines.items()):
        mended = not all(failed(attempt) for attempt in attempts)
        if not mended and line not in out and repairs.count(line) < MAX_REPAIRS:
            yield attempts[-1]


def _parent(plan: Plan, history: History) -> Attempt | None:
    """The attempt that a `refine` plan works on."""
    return history.attempt_of(plan.parents[0]) if plan.kind == "refine" else None


def _refines_a_pass(plan: Plan, history: History) -> bool:
    parent = _parent(plan, history)
    return parent is not None and not failed(parent)


def _repaired_line(plan: Plan, history: History) -> str | None:
    """The line of failures that `plan` repairs; None when it repairs nothing."""
    parent = _parent(plan, history)
    if parent is None or not failed(parent):
        return None
    return _first_failure(parent, history)


def _first_failure(attempt: Attempt, history: History) -> str:
    """The id of the candidate with which the line of failures before `attempt` begins."""
    parent = _parent(attempt.plan, history)
    while parent is not None and failed(parent):
        attempt, parent = parent, _parent(parent.plan, history)
    return attempt.candidate.id if attempt.candidate else ""
