"""The same Triton candidates through our judge and through KernelBench's own evaluation, on a GPU.

`judge_throughput.py --kernelbench PATH` uses this; as a program it judges one candidate as
KernelBench's scripts do, in a process of its own, and prints what was said:

    python kernelbench_lane.py CHECKOUT REFERENCE KIND BUILD_FOLDER

Nothing of KernelBench is in this project: its function is imported from the checkout.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kernelwright.evaluate.opening import open_judge
from kernelwright.languages.reading import candidate_from_text

RIGHT = """
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def rows(x, weight, out, dim, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < dim
    v = tl.load(x + row * dim + at, mask=inside, other=0.0)
    scale = 1.0 / tl.sqrt(tl.sum(v * v, axis=0) / dim + eps)
    v = v * scale * tl.load(weight + at, mask=inside, other=0.0)
    tl.store(out + row * dim + at, v * tl.sigmoid(v), mask=inside)


class ModelNew(nn.Module):
    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        out = torch.empty_like(x)
        block = triton.next_power_of_2(x.shape[1])
        rows[(x.shape[0],)](x, self.weight, out, x.shape[1], self.eps, BLOCK=block)
        return out
"""
KINDS = {
    "wrong at compile": RIGHT.replace("tl.sqrt", "tl.squirt"),
    "wrong at screen": RIGHT.replace("/ dim + eps", "/ dim + 1.0"),
    "right": RIGHT,
}
_TRIALS = {"num_correct_trials": 5, "num_perf_trials": 100}  # what its scripts ask for


def why_not(checkout: Path | None) -> str | None:
    """Why there is nothing to compare; None when there is."""
    if checkout is None:
        return "Give --kernelbench PATH, a checkout of KernelBench, to compare with it."
    if _module(checkout) is None:
        return f"{checkout} is no checkout of KernelBench: it has no eval.py where that has one."
    try:
        subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return "KernelBench runs its candidates on a GPU, and this machine has none."
    return None


def lines(checkout: Path, reference: Path) -> Iterator[dict[str, Any]]:
    """A line for each candidate: its seconds here, warm, and there, in a fresh process."""
    with open_judge(reference, device="cuda") as judge:
        first = candidate_from_text(judge.problem, _fresh(RIGHT), "triton")
        start = time.perf_counter()
        judge.judge(first, "search")
        yield {"line": "cold on the GPU", "s": time.perf_counter() - start}
        for kind, text in KINDS.items():
            candidate = candidate_from_text(judge.problem, _fresh(text), "triton")
            start = time.perf_counter()
            evaluation = judge.judge(candidate, "search")
            ours = time.perf_counter() - start
            theirs, said = _theirs(checkout, reference, kind)
            yield {
                "line": "kernelbench",
                "verdict": kind,
                "ours_s": ours,
                "ours": evaluation.outcome.kind,
                "theirs_s": theirs,
                "theirs": said,
            }


def _theirs(checkout: Path, reference: Path, kind: str) -> tuple[float, str]:
    command = [sys.executable, __file__, str(checkout), str(reference), kind]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as builds:
        done = subprocess.run(
            [*command, builds],
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
            # A cache of its own, so that each candidate is compiled, as it is here.
            env={**os.environ, "TRITON_CACHE_DIR": builds},
        )
    spent = time.perf_counter() - start
    return spent, (done.stdout.strip().splitlines() or done.stderr.splitlines() or ["nothing"])[-1]


def _fresh(text: str) -> str:
    return f"# {os.urandom(16).hex()}\n{text}"


def _module(checkout: Path) -> tuple[Path, str] | None:
    """What to put on the path, and the module's name; older checkouts have another layout."""
    if (checkout / "src" / "kernelbench" / "eval.py").is_file():
        return checkout / "src", "kernelbench.eval"
    if (checkout / "src" / "eval.py").is_file():
        return checkout, "src.eval"
    return None


def main(checkout: str, reference: str, kind: str, builds: str) -> None:
    """Evaluate one candidate with KernelBench's function, and print a line of JSON."""
    place = _module(Path(checkout))
    assert place is not None
    sys.path.insert(0, str(place[0]))
    evaluate = importlib.import_module(place[1]).eval_kernel_against_ref
    result = evaluate(
        Path(reference).read_text(encoding="utf-8"),
        _fresh(KINDS[kind]),
        measure_performance=True,
        build_dir=builds,
        backend="triton",
        **_TRIALS,
    )
    if result is None:
        print(json.dumps({"compiled": None}))
        return
    print(json.dumps({"compiled": result.compiled, "correct": result.correctness}))


if __name__ == "__main__":
    main(*sys.argv[1:])
