"""What a program was cut into: each region with its verdict, and what stays torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from kernelwright.core.cut import Cut, Region, RegionVerdict, Uncovered
from kernelwright.core.record import Record
from kernelwright.core.statistics import Estimate
from kernelwright.report.formats import counted, estimated
from kernelwright.report.ratios import Ratio


class RegionRow(Record):
    """One region, or operators that stay torch and have no number.

    `becomes` is what is called for it in the whole; "undecided" before its search has ended.
    `sketches` draft it in `language`. `share` is that of torch's time for all operators, started
    alone; `eager` the speedup of its own kernel over eager torch; `run` the folder of its search.
    """

    number: int | None
    ops: tuple[str, ...]
    becomes: Literal["kernel", "torch", "undecided"]
    reason: str
    language: str | None = None
    sketches: tuple[str, ...] = ()
    share: float
    eager: Ratio | None = None
    run: str | None = None


class RegionTable(Record):
    """A whole program, in an order in which it can run."""

    rows: tuple[RegionRow, ...]

    @property
    def sentence(self) -> str:
        """How much of it became kernels."""
        regions = [row for row in self.rows if row.number is not None]
        kernels = [row for row in regions if row.becomes == "kernel"]
        if not regions:
            return "No sketch covers any of it, so all stays torch."
        share = sum(row.share for row in regions)
        said = f"{counted(len(regions), 'region')} with {share:.0%} of torch's time"
        if any(row.becomes == "undecided" for row in regions):
            return f"It was cut into {said}; the rest stays torch."
        have = "has" if len(kernels) == 1 else "have"
        return f"Of {said}, {len(kernels)} {have} a kernel that is used; the rest stays torch."


def region_table(cut: Cut, verdicts: Mapping[int, RegionVerdict]) -> RegionTable:
    """`cut` with what became of its regions so far."""
    total = sum(r.seconds for r in cut.regions) + sum(u.seconds for u in cut.torch) or 1.0
    place = {node.name: at for at, node in enumerate(cut.outline.graph.nodes)}
    rows = [(place[r.nodes[0]], _region(r, verdicts.get(r.number), total)) for r in cut.regions]
    rows += [(place[u.nodes[0]], _torch(u, total)) for u in cut.torch]
    return RegionTable(rows=tuple(row for _, row in sorted(rows, key=lambda pair: pair[0])))


def _region(region: Region, said: RegionVerdict | None, total: float) -> RegionRow:
    eager = None
    if said is not None and said.eager is not None:
        median, low, high = said.eager
        eager = Ratio.of(Estimate(median=median, ci_low=low, ci_high=high))
    return RegionRow(
        number=region.number,
        ops=region.ops,
        becomes=said.status if said else "undecided",
        reason=said.reason if said else f"Sketches draft it: {', '.join(region.sketches)}.",
        language=region.language,
        sketches=region.sketches,
        share=region.seconds / total,
        eager=eager,
        run=said.folder if said else None,
    )


def _torch(stays: Uncovered, total: float) -> RegionRow:
    return RegionRow(
        number=None,
        ops=stays.ops,
        becomes="torch",
        reason=stays.reason,
        share=stays.seconds / total,
    )


def faster_in_words(row: RegionRow) -> str:
    """A region's own speedup; empty where there is none."""
    return estimated(row.eager.estimate) if row.eager else ""


def ops_in_words(row: RegionRow) -> str:
    """The operators, the same ones in a row once."""
    kept = [op for at, op in enumerate(row.ops) if at == 0 or row.ops[at - 1] != op]
    return ", ".join(kept)
