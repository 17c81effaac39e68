"""How long the judge takes to say what it says: seconds per verdict, warm, on this machine.

    python benchmarks/judge_latency.py [--json] [--repeat N]

The problem is `examples/rmsnorm_silu.py`; the candidates are one kernel of ours and mistakes made
in it. "Warm" means that the judge has its cases and its baselines; what it takes to get them is
printed as the first line. Every verdict is of a text that the judge has not seen before, so each
one is built anew.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from kernelwright.core.candidate import Candidate
from kernelwright.core.evaluation import Effort
from kernelwright.core.problem import Problem, Source
from kernelwright.evaluate.judge import Judge
from kernelwright.problems.reference import Reference

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
TAIL = RIGHT.replace("i < dim; i++) {", "i < dim / 8 * 8; i++) {")

VERDICTS: list[tuple[str, str, Effort, str]] = [
    ("fails to build", BROKEN, "search", "build_failed"),
    ("wrong value", WRONG, "search", "wrong_result"),
    ("tail not written", TAIL, "search", "wrong_result"),
    ("right, timed for the search", RIGHT, "search", "passed"),
    ("right, promoted", RIGHT, "promotion", "passed"),
]


def candidate(problem: Problem, text: str, number: int) -> Candidate:
    """`text` with a comment that makes it new to the judge."""
    source = Source(files={"kernel.cpp": f"// {number}\n{text}"}, entry_point="kernel.cpp::kernel")
    return Candidate(problem_id=problem.id, language="cpp", source=source)


def main() -> int:
    """Print the table; 1 when a verdict was not the expected one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    rows, surprises, number = [], 0, 0
    started = time.perf_counter()
    with Reference.open(EXAMPLE) as reference:
        problem = reference.load()
        with Judge(problem, reference) as judge:
            judge.judge(candidate(problem, RIGHT, number), "promotion")
            cold = time.perf_counter() - started
            for name, text, effort, expected in VERDICTS:
                taken = []
                for _ in range(arguments.repeat if effort == "search" else 2):
                    number += 1
                    start = time.perf_counter()
                    evaluation = judge.judge(candidate(problem, text, number), effort)
                    taken.append(time.perf_counter() - start)
                    if evaluation.outcome.kind != expected:
                        surprises += 1
                        print(f"{name}: {evaluation.outcome}", file=sys.stderr)
                rows.append(
                    {
                        "verdict": name,
                        "median_s": statistics.median(taken),
                        "samples_s": taken,
                        "stage_s": evaluation.stage_s,
                    }
                )
    if arguments.json:
        print(json.dumps({"cold_s": cold, "verdicts": rows}, indent=1))
    else:
        print(f"first verdict, everything cold: {cold:.1f} s")
        for row in rows:
            print(f"{row['verdict']:30s} {row['median_s']:7.2f} s   {row['stage_s']}")
    return 1 if surprises else 0


if __name__ == "__main__":
    raise SystemExit(main())
