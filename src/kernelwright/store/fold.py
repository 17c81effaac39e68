"""What the events of a run add up to. Pure: the same events give the same state, live or resumed.

This is the only reader of an event's `data`; `run` writes it. What each kind of event holds:

    started     spec, name, version      resumed     version
    problem     a Problem                admission   what task admission found, as it was given
    plan        step, plan               proposal    a Proposal
    evaluation  step, evaluation         promotion   step, evaluation
    delivery    step, evaluation         approval    step, answer
    fault       a Fault                  finished    reason, step (of the result, or None)
    ablating    step (the best), draft (the step that it descends from), left_out, version, and
                candidate_ids whose verdicts in an ablation are not believed any more
    ablation    step, evaluation, edit (the one that was undone; None for the best itself)
    cut         a Cut                    region      a RegionVerdict
    lessons     told: each that writers made use of in this session, as a Told
    void        candidate_ids whose verdicts are not believed any more, reason
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kernelwright.core.candidate import Candidate, ModelCall, Plan, Proposal
from kernelwright.core.cut import Cut, RegionVerdict
from kernelwright.core.errors import StoreError
from kernelwright.core.evaluation import Evaluation, Fault
from kernelwright.core.problem import Problem
from kernelwright.core.run import Answer, Attempt, Edit, Event, History, RunSpec, Told

_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One attempt as the log has it. `fault` is the one that ended it, if one did. `lost_calls`
    were answered in tries that a fault broke off."""

    number: int
    plan: Plan
    proposal: Proposal | None = None
    evaluation: Evaluation | None = None
    fault: Fault | None = None
    lost_calls: tuple[ModelCall, ...] = ()

    @property
    def model_calls(self) -> tuple[ModelCall, ...]:
        """Every model call that was answered for it, those of broken tries first."""
        return (*self.lost_calls, *(self.proposal.model_calls if self.proposal else ()))

    @property
    def candidate(self) -> Candidate | None:
        """What the writer made, if it made something."""
        return self.proposal.candidate if self.proposal else None

    @property
    def reason(self) -> str | None:
        """Why there is no candidate, or why it was not judged."""
        if self.fault:
            return self.fault.message
        return self.proposal.reason if self.proposal else None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it."""
        declined = self.proposal is not None and self.proposal.reason is not None
        return declined or self.evaluation is not None or self.fault is not None

    # Cached: an attempt keeps its score, which takes a resampling, and a search asks at each plan.
    @cached_property
    def attempt(self) -> Attempt:
        """The step as a strategy sees it."""
        return Attempt(
            step=self.number,
            plan=self.plan,
            candidate=self.candidate,
            evaluation=self.evaluation,
            reason=self.reason,
            faulted=self.fault is not None,
        )


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A candidate judged again, on samples that the search never used."""

    step: int
    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """The best candidate, of step `step`, with each of its accepted edits undone alone.

    `draft` is the step whose text the edits changed. `judged` has the verdict without each edit;
    that under None is of the candidate itself, judged again beside them. `left_out` counts edits
    that were too many.
    """

    step: int
    draft: int
    left_out: int
    judged: Mapping[Edit | None, Evaluation] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a run has used. `unpriced_calls` are model calls whose cost is not known. `device_s` is
    of all verdicts, those that were taken back too; what ended in a fault is not in it."""

    attempts: int = 0
    cost_usd: float = 0.0
    unpriced_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    wall_s: float = 0.0
    device_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Finish:
    """How a session of the run ended; `step` is the result's, None when there is none."""

    reason: str
    step: int | None


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Everything that a log says. A session is the time from `started`, `resumed` or `ablating` to
    the last event before the next of these.

    `approvals` has what was said of the candidate of a step; `regions` what became of the regions
    of the `cut`, by number; `lessons` those that writers made use of in any session."""

    name: str = ""
    spec: RunSpec | None = None
    problem: Problem | None = None
    admission: Mapping[str, Any] | None = None
    steps: Mapping[int, Step] = field(default_factory=dict)
    promotions: tuple[Promotion, ...] = ()
    deliveries: tuple[Promotion, ...] = ()
    approvals: Mapping[int, Answer] = field(default_factory=dict)
    ablation: Ablation | None = None
    cut: Cut | None = None
    regions: Mapping[int, RegionVerdict] = field(default_factory=dict)
    lessons: tuple[Told, ...] = ()
    faults: tuple[Fault, ...] = ()
    finish: Finish | None = None
    sessions: tuple[tuple[float, float], ...] = ()
    device_s: float = 0.0
    last_seq: int = 0

    @property
    def history(self) -> History:
        """What a strategy may see, in the order of the steps."""
        steps = [self.steps[number] for number in sorted(self.steps)]
        return History(
            attempts=tuple(s.attempt for s in steps if s.finished),
            pending=tuple(s.plan for s in steps if not s.finished),
        )

    @property
    def unfinished(self) -> tuple[Step, ...]:
        """The steps that a killed process left behind, oldest first."""
        return tuple(s for _, s in sorted(self.steps.items()) if not s.finished)

    @property
    def spent(self) -> Spent:
        """What has been used by all sessions together."""
        calls = [call for step in self.steps.values() for call in step.model_calls]
        paid = [c for c in calls if not c.cached]
        return Spent(
            attempts=len(self.steps),
            cost_usd=sum(c.cost_usd or 0.0 for c in paid),
            unpriced_calls=sum(c.cost_usd is None for c in paid),
            input_tokens=sum(c.usage.input_tokens for c in paid),
            output_tokens=sum(c.usage.output_tokens for c in paid),
            wall_s=sum(end - start for start, end in self.sessions),
            device_s=self.device_s,
        )

    def step_of(self, candidate_id: str) -> Step | None:
        """The first step that made this candidate."""
        made = (s for _, s in sorted(self.steps.items()) if s.candidate)
        return next((s for s in made if s.candidate and s.candidate.id == candidate_id), None)


def fold(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """The state after `events`, which follow those that made `state`.

    Raises:
        StoreError: an event does not say what its kind must.
    """
    state = state or RunState()
    for event in events:
        try:
            state = _advance(state, event)
        except (ValidationError, KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"Event {event.seq} ({event.kind}) of the log cannot be read; the log is damaged "
                f"or was written by another version of Kernelwright."
            ) from error
    return state


def _advance(state: RunState, event: Event) -> RunState:
    data = event.data
    state = replace(state, last_seq=event.seq, sessions=_sessions(state.sessions, event))
    match event.kind:
        case "started":
            return replace(state, name=data["name"], spec=RunSpec.model_validate(data["spec"]))
        case "resumed":
            return replace(state, finish=None)
        case "problem":
            return replace(state, problem=Problem.model_validate(data))
        case "admission":
            return replace(state, admission=data)
        case "cut":
            return replace(state, cut=Cut.model_validate(data))
        case "region":
            said = RegionVerdict.model_validate(data)
            return replace(state, regions={**state.regions, said.number: said})
        case "lessons":
            told = [Told.model_validate(one) for one in data["told"]]
            return replace(state, lessons=tuple(dict.fromkeys([*state.lessons, *told])))
        case "ablating":
            return replace(state, ablation=_begun(state.ablation, data))
        case "evaluation" | "promotion" | "delivery" | "ablation":
            return _with_verdict(state, event)
        case "approval":
            answers = {
                **state.approvals,
                int(data["step"]): _ANSWER.validate_python(data["answer"]),
            }
            return replace(state, approvals=answers)
        case "finished":
            return replace(state, finish=Finish(reason=data["reason"], step=data["step"]))
        case "void":
            return _without_verdicts(state, frozenset(data["candidate_ids"]))
        case "fault":
            return _with_fault(state, Fault.model_validate(data))
        case "plan" | "proposal":
            return replace(state, steps=_steps(state.steps, event))


def _begun(ablation: Ablation | None, data: Mapping[str, Any]) -> Ablation:
    """An ablation that begins, or goes on if it is of the same candidate."""
    new = Ablation(step=data["step"], draft=data["draft"], left_out=data["left_out"])
    if ablation is None or ablation.step != new.step:
        return new
    void = frozenset(data["candidate_ids"])
    kept = {e: said for e, said in ablation.judged.items() if said.candidate_id not in void}
    return replace(new, judged=kept)


def _with_verdict(state: RunState, event: Event) -> RunState:
    number = int(event.data["step"])
    evaluation = Evaluation.model_validate(event.data["evaluation"])
    said = Promotion(step=number, evaluation=evaluation)
    state = replace(state, device_s=state.device_s + evaluation.device_s)
    match event.kind:
        case "promotion":
            return replace(state, promotions=(*state.promotions, said))
        case "delivery":
            return replace(state, deliveries=(*state.deliveries, said))
        case "ablation":
            return _with_ablation(state, event.data["edit"], evaluation)
        case _:
            judged = replace(state.steps[number], evaluation=evaluation)
            return replace(state, steps={**state.steps, number: judged})


def _with_ablation(state: RunState, said: Any, evaluation: Evaluation) -> RunState:
    if state.ablation is None:
        raise ValueError("an ablation that did not begin")
    edit = None if said is None else Edit.model_validate(said)
    judged = {**state.ablation.judged, edit: evaluation}
    return replace(state, ablation=replace(state.ablation, judged=judged))


def _sessions(
    sessions: tuple[tuple[float, float], ...], event: Event
) -> tuple[tuple[float, float], ...]:
    if event.kind in ("started", "resumed", "ablating") or not sessions:
        return (*sessions, (event.at, event.at))
    start, end = sessions[-1]
    # A clock that was set back must not give time back to the budget.
    return (*sessions[:-1], (start, max(end, event.at)))


def _with_fault(state: RunState, fault: Fault) -> RunState:
    state = replace(state, faults=(*state.faults, fault))
    if fault.step is None or (fault.retryable and not fault.model_calls):
        return state
    step = state.steps[fault.step]
    ended = replace(
        step,
        fault=step.fault if fault.retryable else fault,
        lost_calls=(*step.lost_calls, *fault.model_calls),
    )
    return replace(state, steps={**state.steps, fault.step: ended})


def _without_verdicts(state: RunState, candidate_ids: frozenset[str]) -> RunState:
    """As if these candidates had not been judged yet, in the search or on promotion, nor shown to
    anybody."""

    def void(evaluation: Evaluation) -> bool:
        return evaluation.candidate_id in candidate_ids

    steps = {
        number: replace(s, evaluation=None) if s.evaluation and void(s.evaluation) else s
        for number, s in state.steps.items()
    }
    kept = tuple(p for p in state.promotions if not void(p.evaluation))
    out = {p.step for p in state.promotions if void(p.evaluation)}
    answers = {number: said for number, said in state.approvals.items() if number not in out}
    return replace(state, steps=steps, promotions=kept, approvals=answers)


def _steps(steps: Mapping[int, Step], event: Event) -> Mapping[int, Step]:
    data, number = event.data, int(event.data["step"])
    if event.kind == "plan":
        step = Step(number=number, plan=Plan.model_validate(data["plan"]))
    else:
        step = replace(steps[number], proposal=Proposal.model_validate(data))
    return {**steps, number: step}
