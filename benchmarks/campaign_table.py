"""The tables of docs/results/campaign, from the verdicts that lie there and in the library.

    python benchmarks/campaign_table.py
    python benchmarks/campaign_table.py docs/results/sketches-h100/results

Prints what was judged on the GPU, file by file, and on the CPU, kernel by kernel, with the
geometric mean over what passed; or what lies in one folder of verdicts. Of a file that was judged
several times a promotion counts before a search.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean

from kernelwright.core.evaluation import Evaluation, Passed
from kernelwright.core.statistics import Estimate, versus_best
from kernelwright.evaluate.batches import read_result
from kernelwright.library.records import Certificate
from kernelwright.library.shelf import CERTIFICATE, SHIPPED, read_library

CAMPAIGN = Path(__file__).parent.parent / "docs" / "results" / "campaign"
WRITER = "agent:campaign"
# Passed, and refused when it was judged again, or of the same flaw: see the campaign's README.
REFUSED_LATER = {("attention", "fp16x3.py"), ("causal_attention", "fp16x3.py")}


@dataclass(frozen=True)
class Row:
    """One file with its verdict; `found` is the best baseline and the speedup over it."""

    problem: str
    file: str
    evaluation: Evaluation

    @property
    def promoted(self) -> bool:
        return self.evaluation.effort == "promotion"

    @property
    def refused(self) -> bool:
        return (self.problem, self.file) in REFUSED_LATER

    @property
    def found(self) -> tuple[str, Estimate] | None:
        outcome = self.evaluation.outcome
        return versus_best(outcome.measurements) if isinstance(outcome, Passed) else None

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Of a problem's files the best is the last: what passed on promotion, then the fastest."""
        return (
            self.found is not None,
            self.promoted,
            self.found[1].median if self.found is not None else 0.0,
        )


def judged(results: Path) -> list[Row]:
    """A row for each file that has a result in the folder `results`."""
    rows: dict[tuple[str, str], Row] = {}
    for path in sorted(results.glob("*/*.json")):
        result = read_result(path)
        if result.evaluation is not None:
            row = Row(path.parent.name, result.file, result.evaluation)
            known = rows.get((row.problem, row.file))
            if known is None or row.promoted > known.promoted:
                rows[row.problem, row.file] = row
    return list(rows.values())


def on_cpu() -> list[Row]:
    """A row for each kernel: those in the library, and those that were no faster."""
    kernels, _ = read_library([SHIPPED])
    rows = [
        Row(k.about.computes.origin.removesuffix(".py"), k.about.files[0], j.evaluation)
        for k in kernels
        if k.about.provenance.writer == WRITER and k.about.language == "cpp"
        for j in k.certificate.judgements
    ]
    for path in sorted((CAMPAIGN / "cpu").glob(f"*/{CERTIFICATE}")):
        certificate = Certificate.model_validate_json(path.read_text(encoding="utf-8"))
        (source,) = path.parent.glob("*.cpp")
        rows += [Row(path.parent.name, source.name, j.evaluation) for j in certificate.judgements]
    return rows


def best(rows: Iterable[Row]) -> list[Row]:
    """The best row of each problem, of those that hold."""
    by_problem: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if not row.refused:
            by_problem[row.problem].append(row)
    return [max(group, key=lambda row: row.rank) for group in by_problem.values()]


def summary(rows: Sequence[Row]) -> str:
    """How many problems were tried, and what became of the best file of each."""
    chosen = best(rows)
    passed = [(row.promoted, row.found[1]) for row in chosen if row.found is not None]
    promoted = [speedup for promoted, speedup in passed if promoted]
    if not promoted:
        return (
            f"{len(chosen)} problems. The best file of {len(passed)} passed a search's verdict; "
            f"geometric mean {_mean(speedup for _, speedup in passed)}."
        )
    faster = sum(speedup.ci_low > 1 for speedup in promoted)
    return (
        f"{len(chosen)} problems. The best file of {len(promoted)} passed on promotion, {faster} "
        "of them faster than the best baseline with their whole interval; geometric mean "
        f"{_mean(promoted)}. With those that have a search's verdict alone {len(passed)} passed; "
        f"geometric mean {_mean(speedup for _, speedup in passed)}."
    )


def _mean(speedups: Iterable[Estimate]) -> str:
    return f"{geometric_mean([speedup.median for speedup in speedups]):.2f}"


def line(row: Row) -> str:
    """One row in Markdown."""
    outcome, name, speed, share = row.evaluation.outcome, "", "", ""
    if isinstance(outcome, Passed) and row.found is not None:
        name, speedup = row.found
        speed = f"{speedup.median:.2f} ({speedup.ci_low:.2f} to {speedup.ci_high:.2f})"
        position = outcome.profile.position if outcome.profile is not None else None
        if position is not None and position.side == "memory":
            share = f"{100 / position.headroom:.0f}%"
    kind = "refused later" if row.refused else outcome.kind.replace("_", " ")
    cells = (row.problem, row.file, row.evaluation.effort, kind, speed, name, share)
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print both tables, or that of the folder in the arguments."""
    tables = [("GPU", judged(CAMPAIGN / "h100" / "results")), ("CPU", on_cpu())]
    if sys.argv[1:]:
        tables = [(sys.argv[1], judged(Path(sys.argv[1])))]
    for title, rows in tables:
        print(f"## {title}\n\n{summary(rows)}\n")
        print("| problem | file | judged as | outcome | over the best baseline | that baseline "
              "| of the memory roofline |\n|---|---|---|---|---|---|---|")  # fmt: skip
        print(*(line(row) for row in sorted(rows, key=lambda r: (r.problem, r.file))), "", sep="\n")


if __name__ == "__main__":
    main()
