"""Asking writers for drafts in turn, and what any strategy needs to read a history.

Everything here is a function of the history. What a writer does with a plan is in `generate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from kernelwright.core.action import Action
from kernelwright.core.candidate import Plan
from kernelwright.core.evaluation import Passed
from kernelwright.core.run import Attempt, History


@dataclass(frozen=True, kw_only=True)
class Drafter:
    """A writer in one language, as a strategy sees it.

    `limit` is how many drafts to ask of it; None asks until it says that it has no more, which
    suits a writer that goes through a list. `listed` says that `limit` is how long its list is.
    `refines` is whether it can work from a verdict. `actions` are the optimisations that it can be
    asked for by name: one that refines makes them of a candidate, another has drafts with them.
    """

    writer: str
    language: str
    limit: int | None = None
    listed: bool = False
    refines: bool = False
    actions: tuple[Action, ...] = ()


def plans(history: History) -> Iterator[Plan]:
    """Every plan of the run: those that are finished, then those that are out."""
    yield from (attempt.plan for attempt in history.attempts)
    yield from history.pending


def failed(attempt: Attempt) -> bool:
    """Whether the judge found fault with it. One that was never judged has not failed."""
    return attempt.evaluation is not None and not isinstance(attempt.evaluation.outcome, Passed)


def one_by_one(
    following: Callable[[History], Plan | None], history: History, count: int
) -> Sequence[Plan]:
    """Up to `count` plans, each made as if those before it were already out."""
    made: list[Plan] = []
    while len(made) < count:
        plan = following(replace(history, pending=(*history.pending, *made)))
        if plan is None:
            break
        made.append(plan)
    return made


def next_draft(drafters: Sequence[Drafter], history: History) -> Plan | None:
    """A draft of the writer and language that was asked least; None when all are through."""
    open_to_more = [
        (asked, drafter)
        for drafter in drafters
        for asked in [_asked(drafter, history)]
        if not _through(drafter, asked, history)
    ]
    if not open_to_more:
        return None
    asked, drafter = min(open_to_more, key=lambda pair: pair[0])
    return Plan(kind="draft", language=drafter.language, writer=drafter.writer, variant=asked)


def _asked(drafter: Drafter, history: History) -> int:
    """How many drafts were asked for. One that a fault kept from being written is asked again."""
    lost = sum(
        attempt.faulted and attempt.candidate is None and _is_draft_of(attempt.plan, drafter)
        for attempt in history.attempts
    )
    return sum(_is_draft_of(plan, drafter) for plan in plans(history)) - lost


def _through(drafter: Drafter, asked: int, history: History) -> bool:
    if drafter.limit is not None:
        return asked >= drafter.limit
    return any(
        attempt.candidate is None and not attempt.faulted and _is_draft_of(attempt.plan, drafter)
        for attempt in history.attempts
    )


def _is_draft_of(plan: Plan, drafter: Drafter) -> bool:
    """Whether it is one of the drafts that are asked in turn; one for an action is out of turn."""
    if plan.action is not None:
        return False
    return (plan.kind, plan.writer, plan.language) == ("draft", drafter.writer, drafter.language)
