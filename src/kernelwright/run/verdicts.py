"""Asking the judge and writing down what it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import JudgeBroken
from kernelwright.core.evaluation import Evaluation
from kernelwright.core.protocols import Evaluator
from kernelwright.run.log import RunLog


def record_verdict(
    log: RunLog,
    kind: Literal["evaluation", "promotion", "delivery"],
    step: int,
    evaluation: Evaluation,
) -> None:
    """Write a verdict of this kind. Its log goes into a blob, whose key takes its place."""
    if evaluation.log:
        key = log.store.put(evaluation.log.encode(errors="replace"))
        evaluation = evaluation.model_copy(update={"log": key})
    data = {"step": step, "evaluation": evaluation.model_dump(mode="json")}
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
