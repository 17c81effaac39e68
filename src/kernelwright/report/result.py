"""``result.json``: what a run found, as figures for a program.

Everything is worked out from the stored samples. A ratio always names its baseline, and the two
regimes of timing stand side by side and are never mixed.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kernelwright.core.candidate import Lane
from kernelwright.core.evaluation import (
    Environment,
    Evaluation,
    Isolation,
    Measurement,
    Passed,
    Performed,
    Regime,
)
from kernelwright.core.record import Record
from kernelwright.core.run import Told
from kernelwright.core.statistics import (
    CANDIDATE,
    CONTROL,
    Estimate,
    Verdict,
    baselines,
    by_subject,
    median_ns,
    speedup,
    versus_best,
)
from kernelwright.report.ablation import Ablated, ablated
from kernelwright.report.cost import Cost, cost_of
from kernelwright.report.outcomes import reason
from kernelwright.report.ratios import Ratio
from kernelwright.report.regions import RegionTable, region_table
from kernelwright.report.story import Story, calls_of

EAGER = "eager"


class VersusBest(Ratio):
    """The speedup over the fastest baseline, by name."""

    baseline: str
    verdict: Verdict


class Control(Ratio):
    """A baseline against itself, measured a second time as if it were another program.

    It should hold 1, and its width is what the machine's noise makes of nothing.
    """

    baseline: str


class Figures(Record):
    """The timings of one candidate in one regime, on the problem's own sizes.

    Times are median nanoseconds per call.
    """

    candidate_ns: float | None = None
    baselines: dict[str, float] = {}
    speedup: dict[str, Ratio] = {}
    vs_best: VersusBest | None = None
    control: Control | None = None


class Best(Record):
    """The candidate that a run hands back. `path` is relative to the run's folder."""

    candidate_id: str
    path: str | None
    lane: Lane
    isolation: Isolation


class DropIn(Record):
    """The delivered module, judged as a user calls it: from Python, each output fresh.

    `reason` says in words how it fared. `figures` is None when it did not pass or was not timed.
    """

    outcome: Literal["passed", "wrong_result", "build_failed", "crashed", "timed_out", "rejected"]
    reason: str
    figures: Figures | None


class Result(Record):
    """What a run found.

    `candidate_ns` to `control` are of the regime ``returned``, in which each call allocates its
    output as a user's call does; `buffer` has the same with the output's memory already there, and
    `drop_in` is what the delivered module came to.
    Without a candidate that passed and was timed they are empty; without one that passed, `reason`
    says what became of the first attempt. "not_approved" is a run that found something which
    whoever was asked did not want. `cost_usd` is None when a price is not known; `promoted` says
    whether the figures were taken afresh, after the search chose. `cost` is what was spent, in all
    and for a verified speedup. `ablation` says what each edit of the candidate is worth, None until
    `kernelwright ablate` was asked. `regions` has what the program was cut into, None where it was
    not. `lessons` are those that its writers made use of, each with what was measured of it.
    """

    problem: str
    origin: str
    device: str
    language: str
    writer: str
    attempts: int = Field(ge=0)
    outcome: Literal["passed", "nothing_passed", "not_approved"]
    reason: str | None
    best: Best | None
    regime: Literal["returned"] = "returned"
    candidate_ns: float | None
    baselines: dict[str, float]
    speedup: dict[str, Ratio]
    vs_best: VersusBest | None
    control: Control | None
    buffer: Figures | None
    drop_in: DropIn | None
    promoted: bool
    finished: bool
    checks: tuple[Performed, ...]
    not_checked: tuple[str, ...]
    environment: Environment | None
    cost_usd: float | None
    tokens: int
    model_calls: int
    faults: int
    wall_s: float
    cost: Cost
    ablation: Ablated | None
    regions: RegionTable | None = None
    lessons: tuple[Told, ...] = ()

    @property
    def returned(self) -> Figures:
        """The headline's figures, apart."""
        return Figures.model_validate({name: getattr(self, name) for name in Figures.model_fields})

    @property
    def faster(self) -> bool:
        """Whether the interval over the best baseline lies above 1."""
        return self.vs_best is not None and self.vs_best.verdict == "FASTER"


def figures(measurements: tuple[Measurement, ...], regime: Regime) -> Figures | None:
    """The figures of one regime; None when the candidate was not timed in it."""
    subjects = by_subject(measurements, regime)
    candidate = subjects.get(CANDIDATE)
    if candidate is None:
        return None
    rivals = baselines(subjects)
    best = versus_best(measurements, regime)
    return Figures(
        candidate_ns=median_ns(candidate),
        baselines={name: median_ns(rival) for name, rival in rivals.items()},
        speedup={name: Ratio.of(speedup(candidate, rival)) for name, rival in rivals.items()},
        vs_best=_versus(*best) if best else None,
        control=_control(subjects.get(CONTROL), rivals),
    )


def result_of(story: Story, *, path: str | None) -> Result:
    """The result of the run `story`, whose best candidate was delivered to `path`."""
    headline, environment, spent = story.headline, story.environment, story.state.spent
    returned, buffer = timed(headline)
    best = returned.vs_best if returned else None
    verified = story.promoted and best is not None and best.verdict == "FASTER"
    return Result(
        **dict(returned or Figures()),
        problem=story.problem.id,
        origin=story.problem.origin,
        device=environment.device if environment else story.spec.device,
        language=_language(story),
        writer=_writer(story),
        attempts=len(story.steps),
        outcome=_outcome(story),
        reason=None if headline else _why_nothing(story),
        best=_best(headline, path),
        buffer=buffer,
        drop_in=_drop_in(story.delivered),
        promoted=story.promoted,
        finished=story.finished,
        checks=headline.checks if headline else (),
        not_checked=headline.not_checked if headline else (),
        environment=environment,
        cost_usd=story.cost_usd,
        tokens=spent.input_tokens + spent.output_tokens,
        model_calls=sum(len(calls_of(step)) for step in story.steps),
        faults=len(story.state.faults),
        wall_s=round(story.wall_s, 3),
        cost=cost_of(story, verified=verified),
        ablation=ablated(story.state.ablation, story.ablated),
        regions=_regions(story),
        lessons=story.state.lessons,
    )


def _regions(story: Story) -> RegionTable | None:
    cut = story.state.cut
    return region_table(cut, story.state.regions) if cut else None


class Judged(Record):
    """The verdict on one candidate, for a program; the figures are as in `Result`."""

    problem: str
    candidate_id: str
    lane: Lane
    isolation: Isolation
    outcome: Literal["passed", "wrong_result", "build_failed", "crashed", "timed_out", "rejected"]
    reason: str
    regime: Literal["returned"] = "returned"
    candidate_ns: float | None
    baselines: dict[str, float]
    speedup: dict[str, Ratio]
    vs_best: VersusBest | None
    control: Control | None
    buffer: Figures | None
    checks: tuple[Performed, ...]
    not_checked: tuple[str, ...]
    stage_s: dict[str, float]
    environment: Environment


def judged(evaluation: Evaluation, problem: str) -> Judged:
    """The verdict `evaluation` on a candidate for `problem`."""
    returned, buffer = timed(evaluation)
    return Judged(
        **dict(returned or Figures()),
        problem=problem,
        candidate_id=evaluation.candidate_id,
        lane=evaluation.lane,
        isolation=evaluation.isolation,
        outcome=evaluation.outcome.kind,
        reason=reason(evaluation.outcome),
        buffer=buffer,
        checks=evaluation.checks,
        not_checked=evaluation.not_checked,
        stage_s=evaluation.stage_s,
        environment=evaluation.environment,
    )


def timed(evaluation: Evaluation | None) -> tuple[Figures | None, Figures | None]:
    """The figures of `evaluation` in the regimes returned and buffer."""
    if evaluation is None or not isinstance(evaluation.outcome, Passed):
        return None, None
    measurements = evaluation.outcome.measurements
    return figures(measurements, "returned"), figures(measurements, "buffer")


def _outcome(story: Story) -> Literal["passed", "nothing_passed", "not_approved"]:
    if story.headline is not None:
        return "passed"
    return "not_approved" if story.refused else "nothing_passed"


def _why_nothing(story: Story) -> str | None:
    """Why nothing is handed back: what was not approved, what the promotion found, else why the
    first attempt came to nothing, as the writer or the judge says."""
    if story.refused:
        steps = ", ".join(str(number) for number in story.refused)
        return f"right, and not approved by whoever was asked: attempt {steps}"
    for promotion in story.state.promotions:
        if not isinstance(promotion.evaluation.outcome, Passed):
            return f"right in the search, and on promotion {reason(promotion.evaluation.outcome)}"
    for step in story.steps:
        if step.evaluation is not None:
            return reason(step.evaluation.outcome)
        if step.attempt.reason is not None:
            return step.attempt.reason
    return None


def _drop_in(evaluation: Evaluation | None) -> DropIn | None:
    if evaluation is None:
        return None
    returned, _ = timed(evaluation)
    outcome = evaluation.outcome
    return DropIn(outcome=outcome.kind, reason=reason(outcome), figures=returned)


def _versus(baseline: str, estimate: Estimate) -> VersusBest:
    return VersusBest(
        baseline=baseline, verdict=estimate.verdict, **Ratio.of(estimate).model_dump()
    )


def _control(control: Measurement | None, rivals: dict[str, Measurement]) -> Control | None:
    """How the control compares with the baseline that it repeats; older logs do not name it."""
    if control is None or control.repeats not in rivals:
        return None
    ratio = Ratio.of(speedup(control, rivals[control.repeats]))
    return Control(baseline=control.repeats, **ratio.model_dump())


def _best(headline: Evaluation | None, path: str | None) -> Best | None:
    if headline is None:
        return None
    return Best(
        candidate_id=headline.candidate_id,
        path=path,
        lane=headline.lane,
        isolation=headline.isolation,
    )


def _language(story: Story) -> str:
    """The best candidate's language; without one, those that were tried."""
    if story.best_step is not None:
        return story.best_step.plan.language
    tried = dict.fromkeys(step.plan.language for step in story.steps)
    return ", ".join(tried or story.spec.languages)


def _writer(story: Story) -> str:
    step = story.best_step
    return story.author(step) if step is not None else ", ".join(story.spec.writers)
