"""``report.html``: one file that shows a run, with no script and nothing to fetch.

The template escapes everything; a content policy in the page forbids scripts besides, because a
candidate's text is not ours. Figures come from `result`, sentences from `sentence`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from kernelwright.core.candidate import Candidate
from kernelwright.core.errors import StoreError
from kernelwright.core.evaluation import Evaluation, Measurement, Passed, Regime
from kernelwright.core.statistics import CANDIDATE, CONTROL, by_subject, versus_best
from kernelwright.report import cost, outcomes, roofline, sentence
from kernelwright.report.ablation import Ablated, in_words, what_it_is, worth_in_words
from kernelwright.report.charts import (
    Point,
    Strip,
    attempts_chart,
    timing_axis,
    timing_scale,
    timing_strip,
)
from kernelwright.report.diff import DiffLine, unified
from kernelwright.report.formats import (
    counted,
    duration,
    estimated,
    interval,
    money,
    seconds,
    times,
)
from kernelwright.report.plain import LOG_LIMIT, SOURCE_LIMIT, shortened, visible
from kernelwright.report.regions import faster_in_words, ops_in_words
from kernelwright.report.result import Result
from kernelwright.report.story import Story, calls_of, cost_of
from kernelwright.report.table import FAST, Table, cells, remarks, summary
from kernelwright.store.fold import Step

Blobs = Callable[[str], bytes]

REGIMES: dict[Regime, str] = {
    "returned": "Each call returns a fresh output",
    "buffer": "The output's memory is already there",
}
_SUBJECTS = {CANDIDATE: "candidate", CONTROL: "control"}


@dataclass(frozen=True, kw_only=True)
class StepView:
    """One attempt as the page shows it. Every text is visible, cut to size, and not yet escaped."""

    step: Step
    word: str
    line: str
    speedup: str | None
    cost: str | None
    best: bool
    parent_step: int | None
    diff: tuple[DiffLine, ...] | None
    sources: dict[str, str]
    whole: str
    log: str


@dataclass(frozen=True, kw_only=True)
class TimingRow:
    """One subject's strip with its median."""

    name: str
    kind: str
    median: str
    spread: str
    strip: Markup


@dataclass(frozen=True, kw_only=True)
class TimingView:
    """The strips of one regime on one axis."""

    title: str
    rows: tuple[TimingRow, ...]
    scale: Markup


@dataclass(frozen=True, kw_only=True)
class EditRow:
    """One accepted edit: what it is, what it is worth, and the texts."""

    name: str
    worth: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class AblationView:
    """What was said of all edits, and each of them."""

    said: tuple[str, ...]
    edits: tuple[EditRow, ...]


def render(story: Story, result: Result, blobs: Blobs) -> str:
    """The page. `blobs` gives a blob by its key and raises `StoreError` when it has none."""
    points = [_point(step) for step in story.steps]
    axes = story.problem.report_workload.axes
    return template("report.html.j2").render(
        story=story,
        result=result,
        name=sentence.name(result.origin),
        headline=sentence.headline(result),
        remarks=sentence.remarks(result),
        cost=cost.in_words(result.cost),
        ablation=_ablation(result.ablation),
        regions=result.regions,
        ops_in_words=ops_in_words,
        faster_in_words=faster_in_words,
        baselines=sentence.baseline_rows(result),
        chart=attempts_chart(points) if any(p.estimate for p in points) else None,
        timings=_timings(story.headline),
        roofline=roofline.view(story),
        sizes=", ".join(f"{name} {size:,}" for name, size in axes.items()),
        steps=[_step_view(story, step, blobs) for step in story.steps],
    )


def render_table(table: Table) -> str:
    """The page of a whole suite."""
    return template("table.html.j2").render(
        table=table,
        said=summary(table),
        remarks=remarks(table),
        fast=[f"{least:g}" for least in FAST],
        shares={rival: [table.fast(rival, least) for least in FAST] for rival in table.rivals},
        rows=[cells(table, one) for one in table.problems],
    )


@cache
def template(name: str, package: str = "kernelwright.report") -> Template:
    """A page of `package`, which may include what the reports are made of."""
    packages = dict.fromkeys([package, "kernelwright.report"])
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(each) for each in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        counted=counted, duration=duration, estimated=estimated, interval=interval, money=money,
        seconds=seconds, times=times, visible=visible,
    )  # fmt: skip
    return environment.get_template(name)


def _ablation(found: Ablated | None) -> AblationView | None:
    if found is None:
        return None
    rows = [
        EditRow(
            name=what_it_is(edit),
            worth=worth_in_words(edit),
            before=visible(shortened(edit.before, LOG_LIMIT)),
            after=visible(shortened(edit.after, LOG_LIMIT)),
        )
        for edit in found.edits
    ]
    return AblationView(said=tuple(in_words(found)), edits=tuple(rows))


def _point(step: Step) -> Point:
    found = None
    if step.evaluation is not None and isinstance(step.evaluation.outcome, Passed):
        found = versus_best(step.evaluation.outcome.measurements)
    return Point(
        step=step.number,
        estimate=found[1] if found else None,
        outcome=outcomes.word(step.attempt),
    )


def _timings(headline: Evaluation | None) -> list[TimingView]:
    """The strips of each regime that was timed, all on one axis so that the regimes compare."""
    if headline is None or not isinstance(headline.outcome, Passed):
        return []
    measured = headline.outcome.measurements
    sessions = {title: by_subject(measured, regime) for regime, title in REGIMES.items()}
    strips = [_strip(m) for subjects in sessions.values() for m in subjects.values()]
    if not strips:
        return []
    high = timing_axis(strips)
    return [
        TimingView(
            title=title,
            rows=tuple(_timing_row(_strip(m), high) for m in subjects.values()),
            scale=timing_scale(high),
        )
        for title, subjects in sessions.items()
        if subjects
    ]


def _strip(measurement: Measurement) -> Strip:
    return Strip(subject=measurement.subject, samples_ns=measurement.samples_ns)


def _timing_row(strip: Strip, high: float) -> TimingRow:
    return TimingRow(
        name=_SUBJECTS.get(strip.subject, strip.subject),
        kind=strip.subject if strip.subject in _SUBJECTS else "baseline",
        median=duration(strip.median_ns),
        spread=strip.spread,
        strip=timing_strip(strip, high),
    )


def _step_view(story: Story, step: Step, blobs: Blobs) -> StepView:
    parent = story.parent(step)
    estimate = _point(step).estimate
    return StepView(
        step=step,
        word=outcomes.word(step.attempt),
        line=outcomes.line(step.attempt),
        speedup=estimated(estimate) if estimate else None,
        cost=money(cost_of(step)) if calls_of(step) else None,
        best=step is story.best_step,
        parent_step=parent.number if parent else None,
        diff=_diff(parent, step.candidate),
        sources=_sources(step.candidate),
        whole=_more(step),
        log=_log(step.evaluation, blobs),
    )


def _more(step: Step) -> str:
    """The whole of the verdict, or of the reason for none, when its line leaves something out."""
    whole = outcomes.whole(step.evaluation.outcome) if step.evaluation else step.reason or ""
    said = outcomes.line(step.attempt)
    return "" if whole.strip() == said else visible(shortened(whole, LOG_LIMIT))


def _diff(parent: Step | None, candidate: Candidate | None) -> tuple[DiffLine, ...] | None:
    if parent is None or parent.candidate is None or candidate is None:
        return None
    return unified(parent.candidate.source, candidate.source)


def _sources(candidate: Candidate | None) -> dict[str, str]:
    if candidate is None:
        return {}
    return {
        visible(name): visible(shortened(text, SOURCE_LIMIT))
        for name, text in candidate.source.files.items()
    }


def _log(evaluation: Evaluation | None, blobs: Blobs) -> str:
    """A report is still worth having when one log is lost."""
    if evaluation is None or not evaluation.log:
        return ""
    try:
        text = blobs(evaluation.log).decode(errors="replace")
    except StoreError as error:
        return str(error)
    return visible(shortened(text, LOG_LIMIT))
