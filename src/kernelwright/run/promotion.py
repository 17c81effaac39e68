"""Judging the winner again: the search's own figures are the best of many, so they lean upwards."""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.core.evaluation import Passed
from kernelwright.core.protocols import Evaluator
from kernelwright.core.run import Attempt, History
from kernelwright.run.approval import Ask, approved, question_on
from kernelwright.run.log import RunLog
from kernelwright.run.patience import USUAL, GaveUp, Retries, patiently
from kernelwright.run.verdicts import evaluation_of, record_verdict

FINALISTS = 3


async def promote(
    log: RunLog, evaluator: Evaluator, retries: Retries = USUAL, ask: Ask | None = None
) -> int | None:
    """The step of the best candidate that passes on fresh samples, and that whoever is asked by
    `ask` wants to have; None when there is none.

    A promotion that the log already holds is not repeated, nor is a question. When the judge itself
    breaks, the candidate keeps its place, with the figures of the search: it is not to blame.

    Raises:
        StoreError: the log could not be written.
    """
    for attempt in finalists(log.state.history):
        if not await _stands(log, evaluator, attempt, retries):
            continue
        evaluation = evaluation_of(log.state, attempt.step)
        question = question_on(log.state, attempt.step, evaluation) if evaluation else None
        answer = approved(log, question, ask) if question else "no"
        if answer != "no":
            return attempt.step if answer == "yes" else None
    return None


async def _stands(log: RunLog, evaluator: Evaluator, attempt: Attempt, retries: Retries) -> bool:
    before = [p.evaluation for p in log.state.promotions if p.step == attempt.step]
    if before:
        return isinstance(before[-1].outcome, Passed)
    candidate = attempt.candidate
    if candidate is None:
        return False
    try:
        evaluation = await patiently(
            lambda: evaluator.evaluate(candidate, "promotion"), log, None, retries
        )
    except GaveUp:
        return True
    record_verdict(log, "promotion", attempt.step, evaluation)
    return isinstance(evaluation.outcome, Passed)


def finalists(history: History) -> Sequence[Attempt]:
    """The best attempts, one of each text, the best first; untimed ones after all that are timed.

    A text that fails here fails under other settings too, so the next in line is another text.
    """
    passed = [
        attempt
        for attempt in history.attempts
        if attempt.evaluation is not None and isinstance(attempt.evaluation.outcome, Passed)
    ]
    chosen: dict[str, Attempt] = {}
    for attempt in sorted(passed, key=lambda a: -(a.at_least or 0.0)):
        if attempt.candidate is not None:
            chosen.setdefault(attempt.candidate.tuned({}).id, attempt)
    return list(chosen.values())[:FINALISTS]
