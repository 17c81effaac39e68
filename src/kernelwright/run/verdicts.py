"""Asking the judge, writing down what it says, and what a candidate rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import JudgeBroken
from kernelwright.core.evaluation import Evaluation
from kernelwright.core.protocols import Evaluator
from kernelwright.run.log import RunLog
from kernelwright.store.fold import RunState


def evaluation_of(state: RunState, number: int) -> Evaluation | None:
    """What the candidate of a step rests on: its promotion, else what the search found."""
    again = [p.evaluation for p in state.promotions if p.step == number]
    return again[-1] if again else state.steps[number].evaluation


def record_verdict(
    log: RunLog,
    kind: Literal["evaluation", "promotion", "delivery", "ablation"],
    step: int,
    evaluation: Evaluation,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write a verdict of this kind, with `more` that its event holds. Its log goes into a blob,
    whose key takes its place."""
    if evaluation.log:
        key = log.store.put(evaluation.log.encode(errors="replace"))
        evaluation = evaluation.model_copy(update={"log": key})
    data = {"step": step, "evaluation": evaluation.model_dump(mode="json"), **(more or {})}
    log.record(kind, data)


async def evaluated(log: RunLog, evaluator: Evaluator, candidate: Candidate) -> Evaluation:
    """The verdict of a search; see `taking_back`.

    Raises:
        FaultError: the judge's own failure.
    """
    with taking_back(log):
        return await evaluator.evaluate(candidate, "search")


@contextmanager
def taking_back(log: RunLog) -> Iterator[None]:
    """While something may ask the judge. When the judge fails its own test, what it said lately is
    taken back: the steps that it was said of are unfinished again."""
    try:
        yield
    except JudgeBroken as broken:
        ids = list(broken.candidate_ids)
        log.record("void", {"candidate_ids": ids, "reason": str(broken)})
        raise
