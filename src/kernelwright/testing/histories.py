"""Histories made by hand, for tests that ask a strategy about one moment of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kernelwright.core.candidate import Plan, Tunable
from kernelwright.core.evaluation import Outcome
from kernelwright.core.run import Attempt
from kernelwright.testing.evaluators import evaluation_of, number_candidate, verdict


def draft(writer: str, variant: int = 0, language: str = "cpp") -> Plan:
    """A plan for a draft."""
    return Plan(kind="draft", writer=writer, language=language, variant=variant)


def refine(parent: Attempt, variant: int = 0) -> Plan:
    """A plan for "llm" to refine `parent`, in its language."""
    return Plan(
        kind="refine",
        writer="llm",
        language=parent.plan.language,
        parents=_ids(parent),
        variant=variant,
    )


def retune(parent: Attempt, **settings: int) -> Plan:
    """A plan to tune `parent`."""
    return Plan(
        kind="tune",
        writer="tuner",
        language=parent.plan.language,
        parents=_ids(parent),
        settings=settings,
    )


def attempt(
    step: int,
    plan: Plan,
    text: float | str | None = None,
    tunables: Sequence[Tunable] = (),
    *,
    reason: str | None = None,
    settings: Mapping[str, int] | None = None,
    outcome: Outcome | None = None,
) -> Attempt:
    """A finished attempt whose candidate's text is its own verdict, unless `outcome` is.

    With no text the writer made nothing; with a `reason` besides, what it made was not judged.
    """
    if text is None:
        return Attempt(step=step, plan=plan, reason=reason or "nothing")
    made = number_candidate(text, language=plan.language, tunables=tunables)
    candidate = made.tuned(dict(settings or plan.settings))
    evaluation = None if reason else evaluation_of(candidate, outcome or verdict(candidate))
    return Attempt(step=step, plan=plan, candidate=candidate, evaluation=evaluation, reason=reason)


def _ids(parent: Attempt) -> tuple[str, ...]:
    return (parent.candidate.id,) if parent.candidate else ()
