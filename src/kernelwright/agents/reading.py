"""What an agent may read of a run, whether or not anybody works on it. Writes nothing."""

from __future__ import annotations

from kernelwright.agents.attempts import (
    Verdicts,
    attempt_of,
    attempts_of,
    best_of,
    left_of,
    steps_by_candidate,
)
from kernelwright.agents.limits import Refused
from kernelwright.agents.records import Attempt, Attempts, Diff, Left, Shown
from kernelwright.agents.view import shareable_result
from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import UsageError
from kernelwright.core.problem import Problem
from kernelwright.core.run import RunSpec
from kernelwright.report.diff import unified
from kernelwright.report.result import Result
from kernelwright.run.spec import FROM_OUTSIDE
from kernelwright.store.fold import RunState, Step


class Reading:
    """The attempts of one run. `state` is what its log says now."""

    def __init__(self, state: RunState, name: str):
        """Raises:
        UsageError: nobody has begun with this run, or a search leads it.
        """
        self.name = name
        self._read = state
        self.spec, self.problem = begun(state, name)
        self._verdicts = Verdicts(self.problem)

    @property
    def state(self) -> RunState:
        """Everything that the log says."""
        return self._read

    @property
    def elapsed_s(self) -> float:
        """Seconds that the run has taken, in all its sessions."""
        return self.state.spent.wall_s

    def budget(self) -> Left:
        """What is left."""
        return left_of(self.state, self.spec.budget, self.elapsed_s)

    def attempts(self) -> Attempts:
        """Every attempt so far."""
        made = attempts_of(self.state, self._verdicts)
        return Attempts(attempts=made, best=best_of(self.state), left=self.budget())

    def show(self, number: int) -> Shown:
        """One attempt in full.

        Raises:
            Refused: there is none of this number.
        """
        step = self.step(number)
        return Shown(
            attempt=self.line(step),
            files=step.candidate.source.files if step.candidate else {},
            entry_point=step.candidate.source.entry_point if step.candidate else None,
            verdict=self._verdicts.of(step.evaluation) if step.evaluation else None,
        )

    def diff(self, old: int, new: int) -> Diff:
        """What attempt `new` has otherwise than `old`.

        Raises:
            Refused: one has no candidate, or they are too long.
        """
        lines = unified(self.candidate(old).source, self.candidate(new).source)
        if lines is None:
            raise Refused("These are too long to be compared. Ask for each by itself.")
        return Diff(old=old, new=new, text="\n".join(line.text for line in lines))

    def shareable(self, result: Result) -> Result:
        """The result of this run as an agent may see it."""
        judged = (s.evaluation for _, s in sorted(self.state.steps.items()) if s.evaluation)
        first = next(judged, None)
        return shareable_result(
            result, self.problem, self._verdicts.of(first) if first is not None else None
        )

    def line(self, step: Step) -> Attempt:
        """An attempt in a line."""
        return attempt_of(step, steps_by_candidate(self.state), self._verdicts)

    def step(self, number: int) -> Step:
        """An attempt as the log has it.

        Raises:
            Refused: there is none of this number.
        """
        step = self.state.steps.get(number)
        if step is None:
            count = len(self.state.steps)
            there = f"the last is {count}" if count else "there are none yet"
            raise Refused(f"There is no attempt {number}; {there}.")
        return step

    def candidate(self, number: int) -> Candidate:
        """The candidate of an attempt.

        Raises:
            Refused: there is none.
        """
        step = self.step(number)
        if step.candidate is None:
            raise Refused(f"Attempt {number} has no candidate: {step.reason}")
        return step.candidate


def begun(state: RunState, name: str) -> tuple[RunSpec, Problem]:
    """The settings and the problem of a run that an agent leads.

    Raises:
        UsageError: it is none, or was stopped before it began.
    """
    if state.spec is None or state.problem is None:
        raise UsageError(
            f"The run {name} was stopped before it began. Delete its folder and start anew."
        )
    if state.spec.strategy != FROM_OUTSIDE:
        raise UsageError(
            f"The run {name} is led by a search and by no agent. Go on with it by `kernelwright "
            "resume`, or start one of your own."
        )
    return state.spec, state.problem
