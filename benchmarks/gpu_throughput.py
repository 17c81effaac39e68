"""Verdicts per minute on a GPU, ours and those of KernelBench's harness, on the same candidates.

    python benchmarks/gpu_throughput.py --kernelbench PATH [--samples N] [--out FILE]

The set (`gpu_mix`) is that of a search: half of 16 candidates fail, a quarter is wrong, a quarter
is right. Each text is new to whoever judges it. In one run:

- *one by one*: the seconds of a verdict of each class, warm, at the precision of a search.
- *as a batch*: the whole set through `judge_many`, which builds ahead and verifies side by side.
- *cold*: from nothing to the first verdict with a timing; paid once for a problem.
- *KernelBench*: `eval_kernel_against_ref` in a fresh process for each candidate, as its scripts do.
  A verdict on CUDA takes it a minute, so `--samples` of each class are run, and weighted by the
  shares of the set.

Our protocol is the stricter one: another process, a sandbox, a float64 oracle, hidden sizes. Where
the two say different things of a candidate, it is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gpu_mix
import kernelbench_lane
from gpu_mix import SHARES, Entry

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import Evaluation, Fault
from kernelwright.core.problem import Problem
from kernelwright.evaluate.batch import NoCandidate, judge_many, read_candidate
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.opening import open_judge

EXAMPLE = Path(__file__).parents[1] / "examples" / "rmsnorm_silu.py"
SETS = {"triton": gpu_mix.triton, "cuda": gpu_mix.cuda}
TARGETS = {"triton": 10.0, "cuda": 40.0}
_CLASS = {"passed": "right", "wrong_result": "wrong"}  # any other outcome is a failure
_COMMENT = {"triton": "#", "cuda": "//"}


def fresh(text: str, language: str) -> str:
    """`text` with a comment that nobody has built."""
    return f"{_COMMENT[language]} {os.urandom(16).hex()}\n{text}"


def said(found: Evaluation | Fault) -> str:
    """The class that a verdict puts a candidate into."""
    return f"fault: {found.message}" if isinstance(found, Fault) else _said(found.outcome.kind)


def _said(kind: str) -> str:
    return _CLASS.get(kind, "fails")


def read(problem: Problem, entry: Entry, language: str) -> Candidate | NoCandidate:
    """The candidate of `entry`, with a text that is new."""
    return read_candidate(problem, fresh(entry.ours, language), language)


def ours(language: str, entries: list[Entry], tell: Any) -> dict[str, Any]:
    """What we take: cold, one by one, and as a batch."""
    start = time.perf_counter()
    with open_judge(EXAMPLE, device="cuda") as judge:
        right = next(entry for entry in entries if entry.kind == "right")
        first = dict(judge_many(judge, [read(judge.problem, right, language)], "search"))[0]
        cold_s = time.perf_counter() - start
        tell(f"{language}: cold {cold_s:.1f} s ({said(first)})")
        samples: dict[str, list[Any]] = defaultdict(list)
        for entry in entries:
            begun = time.perf_counter()
            found = dict(judge_many(judge, [read(judge.problem, entry, language)], "search"))[0]
            spent = time.perf_counter() - begun
            samples[entry.kind].append({"name": entry.name, "s": spent, "said": said(found)})
            tell(f"{language}: {entry.kind}, {entry.name}: {spent:.2f} s ({said(found)})")
        begun = time.perf_counter()
        asked = [read(judge.problem, entry, language) for entry in entries]
        verdicts = dict(judge_many(judge, asked, "search"))
        batch_s = time.perf_counter() - begun
    other = [e.name for at, e in enumerate(entries) if said(verdicts[at]) != e.kind]
    tell(f"{language}: a batch of {len(entries)} in {batch_s:.1f} s; other verdicts: {other}")
    return {"cold_s": cold_s, "samples": samples, "batch_s": batch_s, "other_in_batch": other}


def theirs(
    checkout: Path, language: str, entries: list[Entry], count: int, tell: Any
) -> dict[str, list[Any]]:
    """What KernelBench takes for the last `count` candidates of each class."""
    samples: dict[str, list[Any]] = defaultdict(list)
    for kind in SHARES:
        for entry in [e for e in entries if e.kind == kind][-count:]:
            text = fresh(entry.theirs, "triton")  # a Python file in either language
            spent, what = kernelbench_lane.judged(checkout, EXAMPLE, text, language)
            samples[kind].append({"name": entry.name, "s": spent, "said": what})
            tell(f"{language}: {kind}, {entry.name}: KernelBench {spent:.1f} s ({what})")
    return samples


def mean_s(samples: dict[str, list[Any]]) -> float:
    """The seconds of a verdict over the set."""
    return sum(SHARES[kind] * class_s(samples[kind]) for kind in SHARES)


def class_s(samples: Iterable[Any]) -> float:
    """The mean seconds of a class."""
    return statistics.fmean(one["s"] for one in samples)


def table(found: dict[str, Any]) -> list[str]:
    """The figures of one language for a person."""
    mine, other = found["ours"], found["theirs"]
    count = sum(len(one) for one in mine["samples"].values())
    each = mine["batch_s"] / count
    lines = [f"{'class':26} {'ours':>9} {'KernelBench':>12} {'ratio':>7}"]

    def row(name: str, here_s: float, there_s: float | None) -> None:
        there = (
            "        not run" if there_s is None else f"{there_s:10.2f} s {there_s / here_s:6.1f}x"
        )
        lines.append(f"{name:26} {here_s:7.2f} s {there}")

    for kind in SHARES:
        row(kind, class_s(mine["samples"][kind]), class_s(other[kind]) if other else None)
    there_s = mean_s(other) if other else None
    row("the set, one by one", mean_s(mine["samples"]), there_s)
    row("the set, as a batch", each, there_s)
    row("the same and the cold start", each + mine["cold_s"] / count, there_s)
    rates = f"verdicts per minute: {60 / each:.0f}"
    if there_s is not None:
        rates += f", KernelBench {60 / there_s:.1f}: {there_s / each:.1f} times"
    return [*lines, f"{rates}; target {found['target']:g} times"]


def disagreements(found: dict[str, Any]) -> list[str]:
    """Where somebody says something else than what a candidate is."""
    lines = []
    for who, samples in (("we", found["ours"]["samples"]), ("KernelBench", found["theirs"] or {})):
        for kind, many in samples.items():
            lines += [
                f"{who} say that {one['name']!r}, which is {kind}, is: {one['said']}"
                for one in many
                if one["said"].partition(":")[0] != kind
            ]
    return lines


def main() -> int:
    """Print the table of each language; 1 when one of our verdicts was not the expected one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kernelbench", type=Path)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--language", choices=sorted(SETS), action="append")
    parser.add_argument("--out", type=Path, help="write everything here, as JSON")
    arguments = parser.parse_args()
    why = kernelbench_lane.why_not(arguments.kernelbench) if arguments.kernelbench else "not asked"
    found_here = environment("cuda")
    result: dict[str, Any] = {
        "device": found_here.device,
        "versions": found_here.versions,
        "problem": EXAMPLE.name,
        "kernelbench": why or "run",
        "languages": {},
    }
    surprises = 0
    for language in arguments.language or sorted(SETS, reverse=True):
        entries = SETS[language]()
        found = {
            "target": TARGETS[language],
            "ours": ours(language, entries, _tell),
            "theirs": None
            if why
            else theirs(arguments.kernelbench, language, entries, arguments.samples, _tell),
        }
        result["languages"][language] = found
        print("\n".join([f"== {language}", *table(found), *disagreements(found)]), flush=True)
        surprises += len(found["ours"]["other_in_batch"])
        if arguments.out:
            arguments.out.write_text(json.dumps(result, indent=1))
    return 1 if surprises else 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
