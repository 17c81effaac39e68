"""How long the judge takes to say what it says, and what a second core brings.

    python benchmarks/judge_throughput.py [--json] [--repeat N]

It judges fixed candidates for one problem, an RMSNorm with SiLU of 2048 by 4096 floats, whose
kernel takes more than a millisecond: one of ours, and mistakes made in it. Every text is new to the
judge, so each is built, and none comes from the compile cache.

What the lines mean:

- *cold*: from nothing to the first promoted verdict. Loading the reference, drawing cases,
  `torch.compile` of the baselines. Paid once for each problem.
- *verdicts*: the median seconds of one verdict when the judge is warm, its target where there is
  one, how many such verdicts a minute holds, and where the seconds went. A right kernel is timed
  with the search's precision and again with the promotion's; *half-width* is that of the 95%
  interval of its speedup in percent, without which the seconds say nothing.
- *batch*: candidates that do not build, judged with `judge_many` by a process that may use one
  processor and by one that may use two. The rate is verdicts per second after the first few, and
  the gain is their ratio.

Run this on a quiet machine; a load average near the number of processors is said, since it makes
the figures worthless. What a GPU takes, and KernelBench's harness, is in `gpu_throughput.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kernelwright.core.errors import FaultError
from kernelwright.core.evaluation import Effort, Evaluation
from kernelwright.core.statistics import versus_best
from kernelwright.evaluate.batch import judge_many, read_candidate
from kernelwright.evaluate.environment import environment
from kernelwright.evaluate.judge import Judge
from kernelwright.evaluate.opening import open_judge
from kernelwright.languages.reading import candidate_from_text

EXAMPLE = Path(__file__).parents[1] / "examples" / "rmsnorm_silu.py"

RIGHT = """
extern "C" void kernel(const float* x, const float* weight, float* out,
                       int64_t batch_size, int64_t dim) {
    #pragma omp parallel for
    for (int64_t row = 0; row < batch_size; row++) {
        const float* in = x + row * dim;
        float sum = 0.0f;
        #pragma omp simd reduction(+:sum)
        for (int64_t i = 0; i < dim; i++) sum += in[i] * in[i];
        float scale = 1.0f / std::sqrt(sum / dim + 1e-6f);
        for (int64_t i = 0; i < dim; i++) {
            float v = in[i] * scale * weight[i];
            out[row * dim + i] = v / (1.0f + std::exp(-v));
        }
    }
}
"""
BROKEN = RIGHT.replace("std::sqrt", "std::squirt")
WRONG = RIGHT.replace("1e-6f", "1e-2f")
# Right on the screen, whose sizes are small, and wrong at the size of the report.
LATE = RIGHT.replace("v / (1.0f", "(dim > 2048 ? 1.001f : 1.0f) * v / (1.0f")

# What is judged, how, what must come out, and the seconds that a verdict may take on two cores.
VERDICTS: list[tuple[str, str, Effort, str, float | None]] = [
    ("wrong at compile", BROKEN, "search", "build_failed", 0.4),
    ("wrong at screen", WRONG, "search", "wrong_result", 1.0),
    ("wrong at core", LATE, "search", "wrong_result", None),
    ("right, timed for the search", RIGHT, "search", "passed", None),
    ("right, promoted", RIGHT, "promotion", "passed", 6.0),
]
GAIN = 1.7
_BATCH = 40
_WARM = 8
_TRIES = 3


def fresh(text: str) -> str:
    """`text` with a comment that nobody has built."""
    return f"// {os.urandom(16).hex()}\n{text}"


def one(judge: Judge, text: str, effort: Effort) -> tuple[float, Evaluation]:
    """The seconds and the verdict; after a failure of ours, of another try."""
    for left in reversed(range(_TRIES)):
        candidate = candidate_from_text(judge.problem, fresh(text), "cpp")
        start = time.perf_counter()
        try:
            evaluation = judge.judge(candidate, effort)
        except FaultError as error:
            print(error, file=sys.stderr)
            if not left:
                raise
        else:
            return time.perf_counter() - start, evaluation
    raise ValueError("no try was made")


def half_width(evaluation: Evaluation) -> float | None:
    """Of the interval of the speedup over the best baseline, in percent."""
    found = versus_best(getattr(evaluation.outcome, "measurements", ()))
    return None if found is None else round(100 * found[1].half_width, 2)


def verdicts(repeat: int) -> Iterator[dict[str, Any]]:
    """The cold line, then a line for each kind of verdict."""
    started = time.perf_counter()
    with open_judge(EXAMPLE) as judge:
        one(judge, RIGHT, "promotion")
        yield {"line": "cold", "s": time.perf_counter() - started}
        for name, text, effort, expected, target in VERDICTS:
            taken: list[float] = []
            for _ in range(repeat if effort == "search" else max(2, repeat // 3)):
                spent, evaluation = one(judge, text, effort)
                taken.append(spent)
                if evaluation.outcome.kind != expected:
                    yield {"line": "surprise", "verdict": name, "got": str(evaluation.outcome)}
            median = statistics.median(taken)
            yield {
                "line": "verdict",
                "verdict": name,
                "median_s": median,
                "slowest_s": max(taken),
                "per_minute": 60 / median,
                "target_s": target,
                "half_width_percent": half_width(evaluation),
                "stage_s": evaluation.stage_s,
            }


def batch_rate() -> float:
    """Verdicts per second on candidates that do not build, in this process."""
    with open_judge("builtin:row_sum") as judge:
        texts = (fresh(BROKEN) for _ in range(_BATCH))
        asked = (read_candidate(judge.problem, text, "cpp") for text in texts)
        for count, _ in enumerate(judge_many(judge, asked, "search"), 1):
            if count == _WARM:
                start = time.perf_counter()
        return (_BATCH - _WARM) / (time.perf_counter() - start)


def batch() -> dict[str, Any]:
    """The rates of two processes that may use one and two processors."""
    allowed = sorted(os.sched_getaffinity(0))
    rates: dict[int, float] = {}
    for cores in (1, 2):
        if len(allowed) < cores:
            return {"line": "batch", "skipped": "This machine lends one processor only."}
        chosen = ",".join(map(str, allowed[:cores]))
        # The environment is told too: a compiler's own threads would else count all processors.
        command = ["taskset", "-c", chosen, sys.executable, __file__, "--only-batch"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
        rates[cores] = float(said.stdout)
    return {
        "line": "batch",
        "per_s": rates,
        "per_minute": {cores: 60 * rate for cores, rate in rates.items()},
        "gain": rates[2] / rates[1],
        "target": GAIN,
    }


def machine() -> dict[str, Any]:
    """Where this ran, and how busy it was at the start."""
    found = environment("cpu")
    load = os.getloadavg()[0]
    return {
        "line": "machine",
        "cpu": found.cpu,
        "processors": len(os.sched_getaffinity(0)),
        "versions": found.versions,
        "load": round(load, 2),
        "quiet": load < 0.5,
    }


def told(line: dict[str, Any]) -> str:
    """`line` for a person."""
    match line:
        case {"skipped": why}:
            return f"{line['line']}: skipped. {why}"
        case {"line": "machine"}:
            warning = "" if line["quiet"] else "; NOT QUIET, do not use the figures"
            return f"{line['cpu']}, {line['processors']} processors, load {line['load']}{warning}"
        case {"line": "cold"}:
            return f"cold: {line['s']:.1f} s to the first verdict with timing"
        case {"line": "verdict"}:
            target = "" if line["target_s"] is None else f"  target {line['target_s']:g} s"
            width = line["half_width_percent"]
            half = "" if width is None else f"  half-width {width:g}%"
            stages = "  ".join(f"{stage} {s:.2f}" for stage, s in line["stage_s"].items())
            return (
                f"{line['verdict']:28s} {line['median_s']:6.2f} s  {line['per_minute']:6.0f}/min"
                f"{target}{half}  ({stages})"
            )
        case {"line": "batch"}:
            one_core, two = line["per_minute"][1], line["per_minute"][2]
            return (
                f"batch that does not build: {one_core:.0f}/min on one processor, {two:.0f}/min "
                f"on two: {line['gain']:.2f} times  target {line['target']:g}"
            )
    return f"{line['verdict']}: {line['got']}"


def main() -> int:
    """Print the lines; 1 when a verdict was not the expected one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--only-batch", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only_batch:
        print(batch_rate())
        return 0
    surprises = 0
    lines: list[dict[str, Any]] = []

    def tell(line: dict[str, Any]) -> None:
        nonlocal surprises
        surprises += line["line"] == "surprise"
        lines.append(line)
        if not arguments.json:
            print(told(line), flush=True)

    tell(machine())
    for line in verdicts(arguments.repeat):
        tell(line)
    tell(batch())
    if arguments.json:
        print(json.dumps(lines, indent=1))
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
