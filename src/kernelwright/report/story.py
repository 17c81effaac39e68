"""A run as people read it: what a report asks of the state that the log folds to.

Figures are worked out from samples in `result` and `charts`; here is only who made what, which
evaluation the result rests on, and what it cost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from kernelwright.core.candidate import ModelCall
from kernelwright.core.errors import UsageError
from kernelwright.core.evaluation import Environment, Evaluation, Passed
from kernelwright.core.problem import Problem
from kernelwright.core.run import Event, RunSpec
from kernelwright.problems.admission import Admission
from kernelwright.store.fold import RunState, Spent, Step, fold


@dataclass(frozen=True, kw_only=True)
class Story:
    """One run, of which at least the problem is known; `events` are those of its log."""

    state: RunState
    spec: RunSpec
    problem: Problem
    events: tuple[Event, ...]

    @classmethod
    def of(cls, events: Iterable[Event]) -> Story:
        """The story that `events` tell.

        Raises:
            UsageError: the run was stopped before its problem was loaded; there is nothing to tell.
            StoreError: the log is damaged.
        """
        events = tuple(events)
        state = fold(events)
        if state.spec is None or state.problem is None:
            raise UsageError(
                "This run stopped before its problem was loaded, so there is nothing to show. "
                "`kernelwright resume` goes on with it."
            )
        return cls(state=state, spec=state.spec, problem=state.problem, events=events)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Every attempt, oldest first."""
        return tuple(step for _, step in sorted(self.state.steps.items()))

    @cached_property
    def headline(self) -> Evaluation | None:
        """The evaluation that the result rests on; None when no candidate is handed back.

        A candidate is judged once more, on fresh samples, before it is handed back. Where that is
        missing the search's own evaluation stands in: it was picked as the best of many.
        """
        finish = self.state.finish
        if finish is None:
            promoted = [
                p
                for p in self.state.promotions
                if _passed(p.evaluation) and p.step not in self.refused
            ]
            return promoted[-1].evaluation if promoted else self._best_of_search()
        if finish.step is None:
            return None
        judged = [p.evaluation for p in self.state.promotions if p.step == finish.step]
        return judged[-1] if judged else self.state.steps[finish.step].evaluation

    @property
    def refused(self) -> tuple[int, ...]:
        """The attempts that passed and that a person who was asked did not want."""
        return tuple(n for n, said in self.state.approvals.items() if said != "yes")

    def _best_of_search(self) -> Evaluation | None:
        out = {*(promotion.step for promotion in self.state.promotions), *self.refused}
        passed = [
            step for step in self.steps if step.number not in out and _passed(step.evaluation)
        ]
        best = max(passed, key=lambda step: step.attempt.at_least or 0.0, default=None)
        return best.evaluation if best else None

    @property
    def delivered(self) -> Evaluation | None:
        """The verdict on the delivered module of the best candidate, where there is one."""
        finish = self.state.finish
        step = finish.step if finish else None
        return next((d.evaluation for d in self.state.deliveries if d.step == step), None)

    @property
    def ablated(self) -> Evaluation | None:
        """The verdict that the run itself had on the candidate whose edits were undone."""
        ablation = self.state.ablation
        if ablation is None:
            return None
        again = [p.evaluation for p in self.state.promotions if p.step == ablation.step]
        return again[-1] if again else self.state.steps[ablation.step].evaluation

    @property
    def promoted(self) -> bool:
        """Whether the headline was measured afresh, after the search had chosen."""
        return any(p.evaluation is self.headline for p in self.state.promotions)

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.state.finish is not None

    @cached_property
    def best_step(self) -> Step | None:
        """The attempt that made the candidate of the headline."""
        return self.state.step_of(self.headline.candidate_id) if self.headline else None

    def parent(self, step: Step) -> Step | None:
        """The attempt that `step` built on first."""
        parents = step.plan.parents
        return self.state.step_of(parents[0]) if parents else None

    def author(self, step: Step) -> str:
        """The writer of the text: a tuner only sets numbers in what another wrote."""
        while step.plan.kind == "tune" and (parent := self.parent(step)) is not None:
            if parent.number >= step.number:
                break
            step = parent
        return step.plan.writer

    @cached_property
    def admission(self) -> Admission | None:
        """What task admission found; None when it was not run."""
        found = self.state.admission
        return Admission.model_validate(found) if found is not None else None

    @property
    def environment(self) -> Environment | None:
        """Where it ran: the headline's environment, else that of any evaluation."""
        evaluations = [self.headline, *(step.evaluation for step in self.steps)]
        return next((e.environment for e in evaluations if e is not None), None)

    @property
    def cost_usd(self) -> float | None:
        """What the model calls cost; None when a price is not known."""
        spent = self.state.spent
        return None if spent.unpriced_calls else spent.cost_usd

    @cached_property
    def until_best(self) -> Spent | None:
        """What was spent when the search had its verdict on the candidate of the headline."""
        best = self.best_step.number if self.best_step else None
        judged = [
            place
            for place, event in enumerate(self.events)
            if event.kind == "evaluation" and event.data["step"] == best
        ]
        return fold(self.events[: judged[-1] + 1]).spent if judged else None

    @property
    def wall_s(self) -> float:
        """How long the run worked, pauses between sessions left out."""
        return self.state.spent.wall_s


def _passed(evaluation: Evaluation | None) -> bool:
    return evaluation is not None and isinstance(evaluation.outcome, Passed)


def calls_of(step: Step) -> tuple[ModelCall, ...]:
    """The model calls that were answered for `step`."""
    return step.model_calls


def cost_of(step: Step) -> float | None:
    """What `step` cost; None when a price is not known. Cached replies are free."""
    paid = [call.cost_usd for call in calls_of(step) if not call.cached]
    return None if None in paid else sum(price or 0.0 for price in paid)
