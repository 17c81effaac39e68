"""Whether the broker's memory stays flat: its own figures every so many evaluations.

    python benchmarks/judge_memory.py [--evaluations 2000] [--every 200] [--json]

One judge of `builtin:row_sum` in this process. Of ten candidates six do not build, three are wrong
on the screen, and one is right on the screen and wrong at another size; every two hundredth is
right and timed, and so is one before the first that counts. Each text is new. A line says, of this
process alone: resident memory, open descriptors, threads, mappings, and what the judge keeps on
disk. Memory grows a little until the judge remembers as many verdicts as it may.

Exits with 1 when, from the first line to the last, memory grew by more than a tenth and 64 MiB, or
descriptors, threads or mappings by more than a few.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kernelwright.core.candidate import Candidate
from kernelwright.core.problem import Problem
from kernelwright.evaluate.batch import NoCandidate, judge_many, read_candidate
from kernelwright.evaluate.opening import open_judge
from kernelwright.languages.reading import candidate_from_text

RIGHT = """
extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t dim) {
    #pragma omp parallel for
    for (int64_t row = 0; row < rows; row++) {
        double sum = 0.0;
        for (int64_t i = 0; i < dim; i++) sum += (double)x[row * dim + i] * x[row * dim + i];
        out[row] = (float)sum;
    }
}
"""
BROKEN = RIGHT.replace("double sum", "doubt sum")
WRONG = RIGHT.replace("(double)x[row * dim + i]", "(double)x[row * dim]")
LATE = RIGHT.replace("(float)sum", "(float)(dim > 1000 ? sum + 1e3 : sum)")
KINDS = {"build_failed": BROKEN, "wrong_result": WRONG, "late": LATE, "passed": RIGHT}
SLACK = {"descriptors": 8, "threads": 4, "mappings": 200}


def texts(count: int, every: int) -> Iterator[str]:
    """`count` different texts, in the mix that the module's text says."""
    for number in range(count):
        kind = "build_failed"
        if number % every == every - 1:
            kind = "passed"
        elif number % 10 in (3, 5, 7):
            kind = "wrong_result"
        elif number % 10 == 9:
            kind = "late"
        yield f"// {number}\n{KINDS[kind]}"


def candidates(problem: Problem, count: int, every: int) -> Iterator[Candidate | NoCandidate]:
    return (read_candidate(problem, text, "cpp") for text in texts(count, every))


def figures(folder: Path) -> dict[str, float]:
    """What this process holds now."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "rss_mib": round(int(status["VmRSS"].split()[0]) / 1024, 1),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": int(status["Threads"]),
        "mappings": len(Path("/proc/self/maps").read_text().splitlines()),
        "disk_mib": round(_size(folder) / 2**20, 1),
    }


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            continue
    return total


def growth(lines: list[dict[str, float]]) -> list[str]:
    """What grew from the first line to the last beyond its slack."""
    first, last = lines[0], lines[-1]
    found = [
        f"{name}: {first[name]:g} to {last[name]:g}"
        for name, slack in SLACK.items()
        if last[name] > first[name] + slack
    ]
    if last["rss_mib"] > 1.1 * first["rss_mib"] + 64:
        found.append(f"memory: {first['rss_mib']:g} to {last['rss_mib']:g} MiB")
    return found


def main() -> int:
    """Print the lines; 1 when something grew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    lines: list[dict[str, float]] = []
    outcomes: dict[str, int] = {}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        with open_judge("builtin:row_sum") as judge:
            # What is made ready once, such as the timed inputs, is there from the first line on.
            judge.judge(candidate_from_text(judge.problem, RIGHT, "cpp"), "search")
            asked = candidates(judge.problem, arguments.evaluations, arguments.every)
            for count, (_, found) in enumerate(judge_many(judge, asked, "search"), 1):
                kind = getattr(getattr(found, "outcome", None), "kind", "fault")
                outcomes[kind] = outcomes.get(kind, 0) + 1
                if count % arguments.every == 0:
                    line = {"evaluations": count, "s": round(time.monotonic() - started, 1)}
                    lines.append(line | figures(Path(folder)))
                    if not arguments.json:
                        print("  ".join(f"{k} {v:g}" for k, v in lines[-1].items()), flush=True)
        tempfile.tempdir = None
    grew = growth(lines) if len(lines) > 1 else []
    if arguments.json:
        print(json.dumps({"lines": lines, "outcomes": outcomes, "grew": grew}, indent=1))
    else:
        print(outcomes)
    if grew:
        print("It is not flat. " + "; ".join(grew), file=sys.stderr)
    return 1 if grew else 0


if __name__ == "__main__":
    sys.exit(main())
