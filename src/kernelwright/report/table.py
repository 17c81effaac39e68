"""The table of a whole suite: what each problem came to, losses included.

The JSON holds every figure with its raw samples; the Markdown and HTML pages are made from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from kernelwright.core.evaluation import Environment, Passed
from kernelwright.core.record import Record
from kernelwright.core.statistics import by_subject
from kernelwright.report.cost import Cost, of_suite
from kernelwright.report.formats import duration, interval, ratio, seconds
from kernelwright.report.ratios import Ratio
from kernelwright.report.result import Control, Result, VersusBest
from kernelwright.report.story import Story

FAST = (0.0, 1.0, 1.5, 2.0)


class Entry(Record):
    """One problem. Times are median nanoseconds per call, `samples_ns` those of each block.

    `reason` says why it did not pass, or could not be run. `roofline_share` is how much of what
    this machine can do at most the kernel reaches, by the time that moving its bytes and doing its
    arithmetic must take. `decontaminated` is whether writers could be shown nothing of the library
    and of other runs that is for this very problem or nearly the same. It and `cost` are None in a
    table that was made before they were kept. `commit` is Kernelwright's where the row was judged
    by another than the table's.
    """

    id: str
    outcome: Literal["passed", "nothing_passed", "not_approved", "not_run"]
    reason: str | None = None
    language: str = ""
    candidate_ns: float | None = None
    baselines: dict[str, float] = {}
    speedup: dict[str, Ratio] = {}
    vs_best: VersusBest | None = None
    control: Control | None = None
    roofline_share: float | None = None
    samples_ns: dict[str, tuple[float, ...]] = {}
    not_checked: tuple[str, ...] = ()
    attempts: int = 0
    cost_usd: float | None = 0.0
    wall_s: float = 0.0
    cost: Cost | None = None
    decontaminated: bool | None = None
    commit: str | None = None


class Table(Record):
    """A suite on one machine. `commit` is that of Kernelwright, where it is known."""

    suite: str
    device: str
    versions: dict[str, str]
    commit: str | None
    environment: Environment | None
    problems: tuple[Entry, ...]

    @property
    def rivals(self) -> list[str]:
        """The baselines of any problem."""
        return sorted({name for entry in self.problems for name in entry.baselines})

    def fast(self, rival: str, least: float) -> float:
        """The share of all problems that are right and more than `least` times as fast as `rival`:
        ``fast_p``. At 0 it is the share that is right."""
        right = [e for e in self.problems if e.outcome == "passed"]
        if least == 0:
            return len(right) / max(len(self.problems), 1)
        over = [e for e in right if rival in e.speedup and e.speedup[rival].median > least]
        return len(over) / max(len(self.problems), 1)

    @property
    def geometric_mean(self) -> float | None:
        """Of the speedups over the best baseline, over the problems that were timed."""
        found = [math.log(e.vs_best.median) for e in self.problems if e.vs_best is not None]
        return math.exp(sum(found) / len(found)) if found else None


def entry(name: str, story: Story, result: Result) -> Entry:
    """What the run `story`, which came to `result`, says about the problem `name`."""
    headline = story.headline
    samples: dict[str, tuple[float, ...]] = {}
    share = None
    if headline is not None and isinstance(headline.outcome, Passed):
        subjects = by_subject(headline.outcome.measurements)
        samples = {subject: m.samples_ns for subject, m in subjects.items()}
        profile = headline.outcome.profile
        share = 1 / profile.headroom if profile and profile.headroom else None
    return Entry(
        id=name,
        outcome=result.outcome,
        reason=result.reason,
        language=result.language,
        candidate_ns=result.candidate_ns,
        baselines=result.baselines,
        speedup=result.speedup,
        vs_best=result.vs_best,
        control=result.control,
        roofline_share=share,
        samples_ns=samples,
        not_checked=result.not_checked,
        attempts=result.attempts,
        cost_usd=result.cost_usd,
        wall_s=result.wall_s,
        cost=result.cost,
        decontaminated=story.spec.decontaminate,
    )


def markdown(table: Table) -> str:
    """The table as a page."""
    lines = [
        f"# {table.suite} on {table.device}",
        "",
        ", ".join(f"{name} {version}" for name, version in table.versions.items())
        + (f"; Kernelwright at {table.commit}" if table.commit else ""),
        "",
        summary(table),
        *_shares(table),
        "",
        _row(["problem", "outcome", "time", "over the best", *table.rivals, "roofline", "took"]),
        _row(["---"] * (6 + len(table.rivals))),
        *[_row(cells(table, one)) for one in table.problems],
        "",
        "Speedups are medians with 95% intervals. The share of the roofline is what moving each",
        "tensor once, or the arithmetic, must take at least here, of what it took.",
        *[line for remark in remarks(table) for line in ("", remark)],
        "",
    ]
    return "\n".join(lines)


def summary(table: Table) -> str:
    """How many passed, how much faster they are, and what a verified speedup cost."""
    right = sum(e.outcome == "passed" for e in table.problems)
    mean = table.geometric_mean
    said = f"{right} of {len(table.problems)} problems passed"
    said += f"; over the best baseline the geometric mean is {ratio(mean)}." if mean else "."
    costs = [one.cost for one in table.problems if one.cost is not None]
    return f"{said} {of_suite(costs)}" if costs else said


def remarks(table: Table) -> list[str]:
    """What is to be known of the table as a whole, in sentences."""
    return [remark for remark in (_retrieval(table), _older(table)) if remark]


def _older(table: Table) -> str:
    """Which rows another commit judged than the table's; empty where none."""
    found: dict[str, list[str]] = {}
    for one in table.problems:
        if one.commit is not None and one.commit != table.commit:
            found.setdefault(one.commit, []).append(one.id)
    if not found:
        return ""
    said = "; ".join(f"{', '.join(names)} at {commit}" for commit, names in found.items())
    return f"Judged by Kernelwright at other commits: {said}."


def _retrieval(table: Table) -> str:
    """Whether writers could be shown something of the very problems that the table is of; empty
    where that was not kept."""
    said = [one.decontaminated for one in table.problems if one.decontaminated is not None]
    if not said:
        return ""
    if all(said):
        return (
            "Decontaminated: no writer was shown a kernel or an attempt of the problem itself, or "
            "of one that is nearly the same."
        )
    return (
        f"Not decontaminated: for {said.count(False)} of {len(said)} problems writers could be "
        "shown kernels and attempts of the problem itself."
    )


def _shares(table: Table) -> list[str]:
    if not table.rivals:
        return []
    head = ["fast_p", *(f"p = {least:g}" for least in FAST)]
    rows = [
        [rival, *(f"{table.fast(rival, least):.0%}" for least in FAST)] for rival in table.rivals
    ]
    return ["", _row(head), _row(["---"] * len(head)), *map(_row, rows)]


def cells(table: Table, one: Entry) -> list[str]:
    """One problem's line, in the order of the page's columns."""
    if one.outcome != "passed" or one.vs_best is None:
        why = f"{one.outcome}: {one.reason}" if one.reason else one.outcome
        return [one.id, why, *[""] * (3 + len(table.rivals)), seconds(one.wall_s)]
    best = one.vs_best
    return [
        one.id,
        best.verdict,
        duration(one.candidate_ns or 0.0),
        f"{ratio(best.median)} ({interval(best.estimate)}) {best.baseline}",
        *(ratio(one.speedup[r].median) if r in one.speedup else "" for r in table.rivals),
        f"{one.roofline_share:.0%}" if one.roofline_share else "",
        seconds(one.wall_s),
    ]


def _row(found: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in found) + " |"
