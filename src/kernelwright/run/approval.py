"""Asking a person before a candidate is handed back: what they are asked, and what they said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import UsageError
from kernelwright.core.evaluation import Evaluation
from kernelwright.core.run import Answer, RunSpec
from kernelwright.run.log import RunLog
from kernelwright.store.fold import RunState, Step


@dataclass(frozen=True, kw_only=True)
class Question:
    """May the candidate of attempt `step` be handed back?

    `evaluation` was made on fresh samples where the judge could make one. `before` is the attempt
    whose text the candidate changed, None for a draft: then all of its text is new.
    """

    step: int
    candidate: Candidate
    evaluation: Evaluation
    before: Step | None


# Called while nothing else of the run goes on; it may take as long as it likes. "no" puts the next
# of the best forward, "stop" ends the run with nothing handed back. What it raises breaks the run
# off; resumed, it asks again.
Ask = Callable[[Question], Answer]


def check_can_ask(spec: RunSpec, ask: Ask | None) -> None:
    """Whether there is somebody to ask, if `spec` wants it.

    Raises:
        UsageError: there is not.
    """
    if spec.approve and ask is None:
        raise UsageError(
            "With `approve` a person is asked before anything is handed back, and nobody can be "
            "asked here. Use a terminal, give optimize(..., ask=...) in Python, or leave it out."
        )


def approved(log: RunLog, question: Question, ask: Ask | None) -> Answer:
    """What is said to `question`: what the log has, else what `ask` answers; yes where there is
    nobody to ask.

    Raises:
        StoreError: the answer could not be written.
    """
    known = log.state.approvals.get(question.step)
    if known is not None or ask is None:
        return known or "yes"
    answer = ask(question)
    log.record("approval", {"step": question.step, "answer": answer})
    return answer


def question_on(state: RunState, number: int, evaluation: Evaluation) -> Question | None:
    """The question on the candidate of step `number`; None when it has none."""
    step = state.steps[number]
    if step.candidate is None:
        return None
    before = _before(state, step)
    return Question(step=number, candidate=step.candidate, evaluation=evaluation, before=before)


def _before(state: RunState, step: Step) -> Step | None:
    """The nearest attempt that `step` descends from whose text is another."""
    text = step.candidate.source if step.candidate else None
    while step.plan.kind != "draft" and step.plan.parents:
        parent = state.step_of(step.plan.parents[0])
        if parent is None or parent.candidate is None or parent.number >= step.number:
            return None
        if parent.candidate.source != text:
            return parent
        step = parent
    return None
