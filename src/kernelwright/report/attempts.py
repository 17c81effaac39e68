"""The attempts of a run as records, for programs: one row each, or one of them in full."""

from __future__ import annotations

from kernelwright.core.candidate import PlanKind
from kernelwright.core.evaluation import Evaluation, Passed
from kernelwright.core.problem import Source
from kernelwright.core.record import Record
from kernelwright.core.statistics import versus_best
from kernelwright.report import outcomes
from kernelwright.report.ratios import Ratio
from kernelwright.report.result import Result
from kernelwright.report.story import Story, calls_of, cost_of
from kernelwright.store.fold import Step


class AttemptRow(Record):
    """One attempt. `action` is the optimisation that the plan names; `outcome` is the verdict's
    kind, or says why there is none; `speedup` is over the best baseline, in the regime returned."""

    step: int
    plan: PlanKind
    action: str | None
    writer: str
    language: str
    parents: tuple[int, ...]
    candidate_id: str | None
    outcome: str
    detail: str
    speedup: Ratio | None
    cost_usd: float | None
    tokens: int


class Overview(Record):
    """A run: its result and its attempts."""

    result: Result
    attempts: tuple[AttemptRow, ...]


class AttemptDetail(Record):
    """One attempt in full."""

    attempt: AttemptRow
    hints: tuple[str, ...]
    settings: dict[str, int]
    source: Source | None
    evaluation: Evaluation | None


def rows(story: Story) -> tuple[AttemptRow, ...]:
    """Every attempt, oldest first."""
    return tuple(row(story, step) for step in story.steps)


def row(story: Story, step: Step) -> AttemptRow:
    """One attempt in a row."""
    parents = (story.state.step_of(parent) for parent in step.plan.parents)
    usages = [call.usage for call in calls_of(step)]
    return AttemptRow(
        step=step.number,
        plan=step.plan.kind,
        action=step.plan.action,
        writer=step.plan.writer,
        language=step.plan.language,
        parents=tuple(parent.number for parent in parents if parent is not None),
        candidate_id=step.candidate.id if step.candidate else None,
        outcome=outcomes.word(step.attempt),
        detail=outcomes.line(step.attempt),
        speedup=_speedup(step.evaluation),
        cost_usd=cost_of(step),
        tokens=sum(usage.input_tokens + usage.output_tokens for usage in usages),
    )


def detail(story: Story, step: Step) -> AttemptDetail:
    """One attempt in full."""
    return AttemptDetail(
        attempt=row(story, step),
        hints=step.plan.hints,
        settings=step.candidate.values if step.candidate else {},
        source=step.candidate.source if step.candidate else None,
        evaluation=step.evaluation,
    )


def _speedup(evaluation: Evaluation | None) -> Ratio | None:
    if evaluation is None or not isinstance(evaluation.outcome, Passed):
        return None
    found = versus_best(evaluation.outcome.measurements)
    return Ratio.of(found[1]) if found else None
