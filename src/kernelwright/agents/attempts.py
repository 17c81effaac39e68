"""The attempts of a run as an agent sees them: a line each, the best one, and what is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from kernelwright.agents.records import Attempt, Best, Left, State, Verdict
from kernelwright.agents.view import verdict_of
from kernelwright.core.evaluation import Evaluation
from kernelwright.core.problem import Problem
from kernelwright.core.run import Budget
from kernelwright.run.budgets import why_end
from kernelwright.store.fold import RunState, Step

ALWAYS = ("attempts", "attempt", "diff", "look_up", "build", "profile", "promote", "report")
_ATTEMPTS = ("submit", "tune")
N = TypeVar("N", int, float)


class Verdicts:
    """What an agent is told about each evaluation, worked out once."""

    def __init__(self, problem: Problem):
        self._problem = problem
        # With the evaluation itself, so that its identity stays its own.
        self._known: dict[int, tuple[Evaluation, Verdict]] = {}

    def of(self, evaluation: Evaluation) -> Verdict:
        """The verdict that `evaluation` is, for an agent."""
        key = id(evaluation)
        if key not in self._known:
            self._known[key] = (evaluation, verdict_of(evaluation, self._problem))
        return self._known[key][1]


def attempts_of(state: RunState, verdicts: Verdicts) -> tuple[Attempt, ...]:
    """Every attempt, oldest first."""
    numbers = steps_by_candidate(state)
    return tuple(attempt_of(step, numbers, verdicts) for _, step in sorted(state.steps.items()))


def steps_by_candidate(state: RunState) -> dict[str, int]:
    """The first step of each candidate, by its id."""
    made: dict[str, int] = {}
    for number, step in sorted(state.steps.items()):
        if step.candidate is not None:
            made.setdefault(step.candidate.id, number)
    return made


def attempt_of(step: Step, numbers: Mapping[str, int], verdicts: Verdicts) -> Attempt:
    """One attempt. `numbers` are those of `steps_by_candidate`."""
    verdict = verdicts.of(step.evaluation) if step.evaluation else None
    prices = [call.cost_usd for call in step.model_calls if not call.cached]
    return Attempt(
        step=step.number,
        kind=step.plan.kind,
        writer=step.plan.writer,
        language=step.plan.language,
        parents=tuple(numbers[p] for p in step.plan.parents if p in numbers),
        idea=" ".join(step.plan.hints),
        state=_state(step),
        outcome=verdict.outcome if verdict else None,
        summary=verdict.summary if verdict else step.reason or "It has no verdict yet.",
        speedup=verdict.speedup.median if verdict and verdict.speedup else None,
        settings=step.candidate.values if step.candidate else {},
        cost_usd=None if None in prices else sum(price or 0.0 for price in prices),
        tokens=sum(c.usage.input_tokens + c.usage.output_tokens for c in step.model_calls),
    )


def _state(step: Step) -> State:
    if step.evaluation is not None:
        return "judged"
    if step.fault is not None:
        return "fault"
    return "declined" if step.finished else "waiting"


def best_of(state: RunState) -> Best | None:
    """The fastest attempt that is right; None when none is."""
    best = state.history.best
    return Best(step=best.step, speedup=best.score) if best and best.score is not None else None


def left_of(state: RunState, budget: Budget, elapsed_s: float) -> Left:
    """What may still be spent after `elapsed_s` seconds of the run, and what may be asked for."""
    used = state.spent
    why = why_end(budget, state, elapsed_s)
    return Left(
        attempts=_remaining(budget.max_attempts, used.attempts),
        seconds=_remaining(budget.max_wall_s, elapsed_s),
        dollars=_remaining(budget.max_cost_usd, used.cost_usd),
        spent_usd=None if used.unpriced_calls else used.cost_usd,
        exhausted=why,
        allowed=ALWAYS if why else (*_ATTEMPTS, *ALWAYS),
    )


def _remaining(limit: N | None, used: N) -> N | None:
    return None if limit is None else max(limit - used, type(used)(0))
