"""The roofline in the report: what is drawn of a run, and the same in words.

Only some operations are counted (`problems.work`). Where none are, there is no intensity, and none
is made up: then it is drawn how fast the bytes that must be moved were, beside how fast this
machine moves bytes. The regime is that of the headline; one more mark shows the best kernel with
its output's memory already there, since a kernel is not to blame for pages that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kernelwright.core.diagnosis import Position
from kernelwright.core.evaluation import Evaluation, Passed, Regime
from kernelwright.core.statistics import CANDIDATE, baselines, by_subject, median_ns
from kernelwright.report.charts import limit_label, limited_bar, rate_scale
from kernelwright.report.formats import significant
from kernelwright.report.roofline_chart import Kind, Spot, drawing, is_tera, rate
from kernelwright.report.story import Story

_TITLE = "Roofline: arithmetic against operations per byte"
_COUNTED = (
    "Counted are the operations of matrix products, convolutions and attention, and each input and "
    "output once; the peaks were measured on this machine."
)
_NOT_COUNTED = (
    "No operations are counted for this problem (those of matrix products, convolutions and "
    "attention on float32 and float64 are), so it has no place on a roofline: what is shown is how "
    "fast the bytes that must be moved were, which says nothing of arithmetic that may limit it."
)
# The classes that rows of strips have in the page.
_ROWS: dict[Kind, str] = {"ours": "candidate", "buffer": "candidate"}
# Bars that are this much longer than memory is fast would flatten the others.
_BEYOND = 1.7


@dataclass(frozen=True, kw_only=True)
class BarRow:
    """One subject's bar, of gigabytes that must be moved for each second."""

    name: str
    kind: str
    value: str
    share: str
    bar: Markup


@dataclass(frozen=True, kw_only=True)
class RooflineView:
    """The plot, or bars where there is no intensity; and what it says in words."""

    said: str
    note: str
    chart: Markup | None = None
    bars: tuple[BarRow, ...] = ()
    limit: Markup | None = None
    scale: Markup | None = None


def view(story: Story) -> RooflineView | None:
    """What is drawn of `story`; None when its log does not say where the best kernel is."""
    position = _position(story.headline)
    spots = tuple(_spots(story))
    if position is None or not any(spot.kind == "ours" for spot in spots):
        return None
    if position.flops == 0:
        return _bars(position, [spot for spot in spots if spot.kind != "attempt"])
    said = _on_roofline(position, spots)
    return RooflineView(
        said=said, note=f"{_COUNTED} {_marks(spots)}".strip(),
        chart=drawing(position, spots, _TITLE, said),
    )  # fmt: skip


def _position(headline: Evaluation | None) -> Position | None:
    if headline is None or not isinstance(headline.outcome, Passed):
        return None
    return headline.outcome.profile.position if headline.outcome.profile else None


def _spots(story: Story) -> Iterator[Spot]:
    """The best kernel first, then the baselines that were timed beside it, then other attempts."""
    headline = story.headline
    best = _call_ns(headline, "returned")
    if best is not None:
        yield Spot(name="best", kind="ours", call_ns=best)
    filled = _call_ns(headline, "buffer")
    if filled is not None:
        yield Spot(name="best, into a buffer", kind="buffer", call_ns=filled)
    if headline is not None and isinstance(headline.outcome, Passed):
        for name, one in baselines(by_subject(headline.outcome.measurements)).items():
            yield Spot(name=name, kind="baseline", call_ns=median_ns(one))
    for step in story.steps:
        ours = _call_ns(step.evaluation, "returned")
        if ours is not None and step is not story.best_step:
            yield Spot(name=f"attempt {step.number}", kind="attempt", call_ns=ours)


def _call_ns(evaluation: Evaluation | None, regime: Regime) -> float | None:
    if evaluation is None or not isinstance(evaluation.outcome, Passed):
        return None
    ours = by_subject(evaluation.outcome.measurements, regime).get(CANDIDATE)
    return None if ours is None else median_ns(ours)


def _marks(spots: Sequence[Spot]) -> str:
    """What a mark means that has no name of its own beside it."""
    kinds = {spot.kind for spot in spots}
    said = ["Paler points are other attempts that passed." if "attempt" in kinds else ""]
    if "buffer" in kinds:
        said.append(
            "Points are for calls that return a fresh output, the ring is for one whose memory was "
            "already there."
        )
    return " ".join(part for part in said if part)


def _on_roofline(position: Position, spots: Sequence[Spot]) -> str:
    tera = is_tera(position)
    roof, made_of = _roof(position, max(position.flops / spot.call_ns for spot in spots))
    shares = _shares(spots, lambda spot: position.flops / spot.call_ns / roof)
    return (
        f"At {significant(position.intensity)} counted operations for each byte that must be "
        f"moved, the roof is {made_of}: {rate(roof, tera=tera)}. {shares}"
    )


def _roof(position: Position, fastest: float) -> tuple[float, str]:
    """The roof above the points in GFLOP/s, and what it is made of. The units that round are meant
    where something is faster than the others can be."""
    slope = position.intensity * position.inputs_gb_s
    ceiling, name = position.peak_gflops, "what this machine computes in float32"
    if position.tensor_gflops is not None and fastest > ceiling:
        ceiling, name = position.tensor_gflops, "what this machine computes in TensorFloat-32"
    if slope < ceiling:
        return slope, f"what memory gives at {significant(position.inputs_gb_s)} GB/s"
    return ceiling, name


def _bars(position: Position, spots: Sequence[Spot]) -> RooflineView:
    moved = {spot: position.nbytes / spot.call_ns for spot in spots}
    limit = position.inputs_gb_s
    high = 1.06 * max([limit, *(min(speed, _BEYOND * limit) for speed in moved.values())])
    shares = _shares(spots, lambda spot: moved[spot] / limit)
    beyond = " More than that comes from caches." if max(moved.values()) > 1.02 * limit else ""
    return RooflineView(
        said=(
            f"{significant(position.nbytes / 1e6)} MB must be moved in a call, and memory gives "
            f"{significant(limit)} GB/s here. {shares}{beyond}"
        ),
        note=_NOT_COUNTED,
        bars=tuple(
            BarRow(
                name=spot.name,
                kind=_ROWS.get(spot.kind, spot.kind),
                value=f"{significant(speed)} GB/s",
                share=f"{speed / limit:.0%}",
                bar=limited_bar(spot.name, speed, limit, high),
            )
            for spot, speed in moved.items()
        ),
        limit=limit_label(f"memory, {significant(limit)} GB/s", limit, high),
        scale=rate_scale(high, "GB/s that must be moved"),
    )


def _shares(spots: Sequence[Spot], share: Callable[[Spot], float]) -> str:
    """How much of what is possible each reaches, the best kernel first."""
    reached = {spot.kind: f"{share(spot):.0%}" for spot in spots}
    said = f"The best kernel reaches {reached['ours']} of that"
    if "buffer" in reached:
        said += (
            f" when each call returns a fresh output, and {reached['buffer']} when the output's "
            "memory is already there"
        )
    rivals = [f"{s.name} {share(s):.0%}" for s in spots if s.kind == "baseline"]
    return f"{said}; of the baselines {', '.join(rivals)}." if rivals else f"{said}."
