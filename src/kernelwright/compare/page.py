"""A comparison for people: lines of a table, and ``compare.html``."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from kernelwright.compare.curves import colour, curves_chart
from kernelwright.compare.standing import Comparison, Standing, curve
from kernelwright.compare.trial import Trial
from kernelwright.core.interval import Interval
from kernelwright.report.formats import counted, ratio, times
from kernelwright.report.html import template

HEADINGS = (
    "strategy", "attempts", "speedup", "final, of the reference's",
    "to the target, of its attempts", "of what it needed", "seconds to the target", "missed",
)  # fmt: skip
NOTHING = "–"


@dataclass(frozen=True, kw_only=True)
class ProblemRow:
    """One problem on the page: what each strategy ended with, and after how many attempts it had
    the reference's."""

    problem: str
    cells: tuple[str, ...]


def cells(standing: Standing) -> list[str]:
    """One strategy's line, under `HEADINGS`."""
    return [
        standing.strategy,
        f"{standing.attempts:.1f}",
        times(standing.speedup) if standing.speedup else NOTHING,
        _written(standing.final),
        _written(standing.to_target),
        _written(standing.to_target_of_needed),
        _written(standing.judged_to_target),
        f"{standing.missed} of {standing.pairs}",
    ]


def summary(comparison: Comparison) -> str:
    """What was compared, as a sentence."""
    seeds = len({trial.seed for trial in comparison.trials})
    limit = comparison.budget.max_attempts
    budget = counted(limit, "attempt") if limit else "no limit of attempts"
    count = len(comparison.standings)
    return (
        f"{count} {'strategy' if count == 1 else 'strategies'} on "
        f"{counted(len(comparison.problems), 'problem')}, {counted(seeds, 'seed')} each, "
        f"{budget}, {comparison.where}; ratios are to {comparison.reference}."
    )


def render(comparison: Comparison) -> str:
    """The page: standings, curves, and what each problem came to."""
    longest = max((trial.attempts for trial in comparison.trials), default=0)
    strategies = [standing.strategy for standing in comparison.standings]
    series = {s: curve(comparison.of(s), longest) for s in strategies}
    return template("comparison.html.j2", "kernelwright.compare").render(
        said=summary(comparison),
        comparison=comparison,
        headings=HEADINGS,
        rows=[cells(standing) for standing in comparison.standings],
        chart=curves_chart(series) if longest else Markup(""),
        legend=[(name, colour(index)) for index, name in enumerate(strategies)],
        strategies=strategies,
        problems=[_problem(comparison, name, strategies) for name in comparison.problems],
    )


def _problem(comparison: Comparison, name: str, strategies: list[str]) -> ProblemRow:
    return ProblemRow(problem=name, cells=tuple(_ended(comparison.of(s, name)) for s in strategies))


def _ended(trials: list[Trial]) -> str:
    """The least and the most that searches of one strategy ended with, and their mean attempts."""
    finals = [trial.final for trial in trials if trial.final]
    if not finals:
        return NOTHING
    least, most = ratio(min(finals)), ratio(max(finals))
    span = times(max(finals)) if least == most else f"{least}–{most}×"
    return f"{span} in {sum(t.attempts for t in trials) / len(trials):.0f}"


def _written(found: Interval | None) -> str:
    if found is None:
        return NOTHING
    return f"{ratio(found.mean)} ({ratio(found.ci_low)}–{ratio(found.ci_high)})"
