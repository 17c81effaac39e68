"""Taking results of a batch into a run's log: verdicts of the same judge on the same problem."""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.core.candidate import Candidate, Plan, Proposal
from kernelwright.core.cards import kind_of
from kernelwright.core.errors import UsageError
from kernelwright.core.evaluation import Evaluation
from kernelwright.core.problem import Problem
from kernelwright.core.record import Record
from kernelwright.core.run import RunSpec
from kernelwright.evaluate.batches import BatchResult, problem_key
from kernelwright.evaluate.judge import EVALUATOR
from kernelwright.run.log import RunLog
from kernelwright.run.verdicts import record_verdict


class Imported(Record):
    """What was taken in, as `import --json` prints it: the attempts that got a verdict, and those
    of them that are new; how many results were known already, or are of files that are no
    candidates."""

    judged: tuple[int, ...]
    new: tuple[int, ...]
    known: int
    no_candidate: int


def take_in(log: RunLog, results: Sequence[tuple[str, BatchResult]]) -> Imported:
    """Write the verdicts of `results`, each with its name, that the log does not have.

    All of them are checked before one is written. The same candidate is the same step, so taking
    results in twice changes nothing.

    Raises:
        UsageError: one is of another problem, judge or device; none was taken in.
        StoreError: the log could not be written.
    """
    spec, problem = log.state.spec, log.state.problem
    if spec is None or problem is None:
        raise UsageError("This run was stopped before it began, so it has nothing to add to.")
    for name, result in results:
        _check(name, result, spec, problem)
    judged, new, known, none = [], [], 0, 0
    for _, result in results:
        if result.candidate is None or result.evaluation is None:
            none += 1
            continue
        step = log.state.step_of(result.candidate.id)
        if step is None:
            new.append(_added(log, spec, result.candidate))
            step = log.state.steps[new[-1]]
        if _has_verdict(log, step.number, result):
            known += 1
            continue
        if step.evaluation is None:
            # A promotion is more than a search's verdict, so it stands for both.
            record_verdict(log, "evaluation", step.number, result.evaluation)
        if result.effort == "promotion":
            record_verdict(log, "promotion", step.number, result.evaluation)
        judged.append(step.number)
    return Imported(judged=tuple(judged), new=tuple(new), known=known, no_candidate=none)


def _has_verdict(log: RunLog, number: int, result: BatchResult) -> bool:
    if result.effort == "search":
        return log.state.steps[number].evaluation is not None
    return any(p.step == number for p in log.state.promotions)


def _added(log: RunLog, spec: RunSpec, candidate: Candidate) -> int:
    """A step for a candidate that the run does not have."""
    number = max(log.state.steps, default=0) + 1
    plan = Plan(kind="draft", language=candidate.language, writer=spec.writers[0])
    log.record("plan", {"step": number, "plan": plan.model_dump(mode="json")})
    log.record("proposal", Proposal(step=number, plan=plan, candidate=candidate))
    return number


def _check(name: str, result: BatchResult, spec: RunSpec, problem: Problem) -> None:
    if result.problem_key != problem_key(problem):
        raise UsageError(
            f"{name} is for the problem {result.problem!r}, and this run is for {problem.id!r} as "
            "it is here. Import it into a run of that problem."
        )
    if result.candidate is None or result.evaluation is None:
        return
    _check_evaluation(name, result.evaluation, result.candidate, spec)


def _check_evaluation(
    name: str, evaluation: Evaluation, candidate: Candidate, spec: RunSpec
) -> None:
    if evaluation.evaluator != EVALUATOR:
        raise UsageError(
            f"{name} was judged by version {evaluation.evaluator} of the judge, and this is "
            f"version {EVALUATOR}. Judge it again with this one."
        )
    if evaluation.candidate_id != candidate.id:
        raise UsageError(f"{name} has the verdict on another candidate than the one in it.")
    if spec.device != "auto" and kind_of(spec.device) != evaluation.environment.kind:
        raise UsageError(
            f"{name} was judged on {evaluation.environment.device}, and this run is on "
            f"{spec.device}."
        )
