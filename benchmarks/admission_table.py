"""Task admission of every built-in problem, in full: which wrong programs its cases tell apart.

    python benchmarks/admission_table.py --out docs/results [NAME …]

Runs every mutant of each problem, or of those that are named, under every distribution at the
report size and at every other size, and writes ``admission.json`` with every count and
``admission.md`` with a table made from it. What the files hold about problems that are not named
stays. The counts come from fixed seeds and one thread, not from the clock.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import torch

from kernelwright.problems import suite
from kernelwright.problems.admission import Admission, Mutant
from kernelwright.problems.derive import derive
from kernelwright.problems.distributions import DECLARED, DISTRIBUTIONS
from kernelwright.problems.mutants import admit
from kernelwright.problems.oracle import Oracle
from kernelwright.problems.soundness import sound_distributions

SEED = 20_26
MEMORY_BYTES = 8 << 30
# Why a survivor is no gap in the judge, by problem and name.
EXPLAINED: dict[str, dict[str, str]] = {}


def run(name: str) -> dict[str, Any]:
    """What admission finds for one problem."""
    source, origin = suite.read_source(suite.PREFIX + name)
    oracle = Oracle(source)
    problem = derive(source, origin, oracle, memory_bytes=MEMORY_BYTES)
    distributions = sound_distributions(oracle, problem)
    admission = admit(oracle, problem, distributions, SEED, thorough=True)
    return {
        "id": name,
        "problem_id": problem.id,
        "workloads": len(problem.workloads),
        "left_out": sorted(set(DISTRIBUTIONS) - DECLARED - set(distributions)),
        "admission": admission.model_dump(mode="json"),
    }


def row(found: dict[str, Any]) -> str:
    """One line of the table."""
    admission = Admission.model_validate(found["admission"])
    applied = [m for m in admission.mutants if m.status != "not_applicable"]
    cells = [
        found["id"],
        f"{sum(m.status == 'killed' for m in applied)} of {len(applied)}",
        f"{_rate(applied, 'report')}",
        f"{_rate(applied, 'suite')}",
        _least_sensitive(admission),
        next(r.reason.split()[2] for r in admission.requirements if "own error" in r.name),
        ", ".join(found["left_out"]) or "none",
        ", ".join([m.name for m in admission.survivors] + [r.name for r in admission.missed])
        or "none",
    ]
    return "| " + " | ".join(cells) + " |"


def _rate(mutants: list[Mutant], where: str) -> str:
    """The share of all runs of mutants at these sizes that failed."""
    runs = sum(getattr(m, where) for m in mutants)
    failed = sum(getattr(m, f"{where}_killed") for m in mutants)
    return f"{failed / runs:.1%} of {runs:,}"


def _least_sensitive(admission: Admission) -> str:
    """The input whose move moves the outputs least."""
    moves = [
        (float(r.reason.split()[3]), r.name.removeprefix("sensitivity to "))
        for r in admission.requirements
        if r.name.startswith("sensitivity") and r.status != "not_applicable"
    ]
    move, name = min(moves)
    return f"{name}: {move:.3g}" if move != float("inf") else "any"


def weak(found: dict[str, Any]) -> list[str]:
    """Mutants that passed some case at the report size: they are killed by the others."""
    admission = Admission.model_validate(found["admission"])
    return [
        f"{m.name} ({m.report_killed} of {m.report})"
        for m in admission.mutants
        if m.status == "killed" and m.report_killed < m.report
    ]


def missing(found: dict[str, Any]) -> list[str]:
    """Mutants that make no sense for a problem, with the reason."""
    admission = Admission.model_validate(found["admission"])
    return [f"{m.name}: {m.reason}" for m in admission.mutants if m.status == "not_applicable"]


def table(results: list[dict[str, Any]]) -> str:
    """The Markdown page."""
    admissions = [Admission.model_validate(found["admission"]) for found in results]
    mutants = [m for a in admissions for m in a.mutants if m.status != "not_applicable"]
    killed = sum(m.status == "killed" for m in mutants)
    lines = [
        "# Admission of the built-in problems",
        "",
        "Made by `python benchmarks/admission_table.py --out docs/results`; every count is in",
        "[admission.json](admission.json). Fixed seeds and one thread: another run on the same",
        "kind of machine gives the same. "
        f"torch {torch.__version__}, Python {platform.python_version()}.",
        "",
        f"{sum(a.admitted for a in admissions)} of {len(results)} problems are admitted; "
        f"{killed:,} of {len(mutants):,} mutants are killed.",
        "",
        "A *mutant* is a deliberately wrong program. It is killed when it fails a case at the",
        "report size and one at another size; a candidate has to pass all of them. *Report size*",
        "and *other sizes* are the shares of all runs of mutants that failed: one run for each",
        "distribution at the report size, and one at each other size. *Least sensitive* is the",
        "input that moves the outputs least when it moves by a tenth, and by how many times what",
        "they may be off; more than 10 is required. *Own error* is the largest share of the",
        "tolerance that the reference itself uses up under any distribution at any size; 50% is",
        "the most. *Left out* are the distributions under which it would use more.",
        "",
        "| problem | killed | report size | other sizes | least sensitive | own error | left out |"
        " survivors |",
        "|---|---|---|---|---|---|---|---|",
        *[row(found) for found in results],
        "",
        "## Killed, but not by every case at the report size",
        "",
        "Small integers are the same in fewer bits, an epsilon drowns in large values, a",
        "structured draw can make rows alike and a denormal one all outputs zeros: these failed",
        "under as many of the distributions as the brackets say.",
        "",
        *_listed(results, weak),
        "",
        "## Not applicable",
        "",
        *_listed(results, missing),
        "",
        *_explanations(),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _explanations() -> list[str]:
    if not EXPLAINED:
        return []
    lines = ["## Survivors", ""]
    for name, reasons in EXPLAINED.items():
        lines += [f"- {name}, {mutant}: {why}" for mutant, why in reasons.items()]
    return lines


def _listed(results: list[dict[str, Any]], found: Any) -> list[str]:
    named = [(r["id"], found(r)) for r in results]
    return [f"- {name}: {'; '.join(entries)}." for name, entries in named if entries]


def main() -> int:
    """Run admission and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    figures = arguments.out / "admission.json"
    kept = json.loads(figures.read_text()) if arguments.names and figures.exists() else []
    results = {found["id"]: found for found in kept}
    for name in arguments.names or suite.names():
        results[name] = run(name)
        print(row(results[name]), flush=True)
        found = [results[key] for key in sorted(results)]
        figures.write_text(json.dumps(found, indent=1) + "\n")
        (arguments.out / "admission.md").write_text(table(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
