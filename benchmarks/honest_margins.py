"""How much of its tolerance each honest C++ kernel uses up, under every distribution and size.

    python benchmarks/honest_margins.py [--seeds N] [--only PART] [--slice I/N] [--json]

The self-check judges a kernel on the few cases that one evaluation draws; here it is called on all
that could be drawn, so that a tolerance which refuses one draw in twenty shows. Kernels are called
in this process, without the sandbox, and nothing is timed. Lists what used more than 70%.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from kernelwright.core.agreement import compare
from kernelwright.core.problem import Problem
from kernelwright.corpora.loading import Honest, Program, honest
from kernelwright.corpora.self_check import bays
from kernelwright.evaluate.building.builder import Builder, Built
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.evaluate.running.arena import as_tensor
from kernelwright.languages.cpp import Cpp
from kernelwright.languages.reading import candidate_from_file
from kernelwright.problems.case import Case
from kernelwright.problems.reference import Reference

SHOWN = 0.7
Kernel = Callable[[Case, dict[str, int]], list[np.ndarray]]


@dataclass(frozen=True)
class Margin:
    """The worst that one kernel did: its largest error over what was allowed; above 1 is a false
    alarm."""

    name: str
    worst: float
    workload: str
    distribution: str
    seed: int
    detail: str
    refused: int
    cases: int


def loaded(program: Program[Honest], problem: Problem, builder: Builder) -> Kernel:
    """The built kernel as a function of a case and its sizes."""
    plan = Cpp().build(candidate_from_file(problem, program.path, "cpp"), problem)
    built = builder.build(plan)
    assert isinstance(built, Built), built
    entry = ctypes.CDLL(str(built.artifact)).kw_entry

    def call(case: Case, axes: dict[str, int]) -> list[np.ndarray]:
        outputs = [np.full(spec.nbytes(axes), 0xFF, np.uint8) for spec in problem.outputs]
        tensors = [*case.inputs.values(), *outputs]
        places = (ctypes.c_void_p * len(tensors))(*(t.ctypes.data for t in tensors))
        sizes = (ctypes.c_int64 * len(problem.axes))(*(axes[name] for name in problem.axes))
        entry(places, sizes)
        return outputs

    return call


def margins(programs: Sequence[Program[Honest]], seeds: int) -> Iterator[Margin]:
    """The margin of each of `programs`, which share a problem."""
    with (
        Reference.open(programs[0].origin) as reference,
        tempfile.TemporaryDirectory() as folder,
    ):
        problem = reference.load()
        builder = Builder(Path(folder), isolation_level()[0])
        kernels = {p.name: loaded(p, problem, builder) for p in programs}
        found = {name: Margin(name, 0.0, "", "", 0, "", 0, 0) for name in kernels}
        for workload in problem.workloads:
            for distribution in reference.distributions():
                for seed in range(seeds):
                    case = reference.case(workload, distribution, seed)
                    for name, kernel in kernels.items():
                        said = [
                            compare(as_tensor(output, spec), expected)
                            for output, spec, expected in zip(
                                kernel(case, workload.axes),
                                problem.outputs,
                                case.expected,
                                strict=True,
                            )
                        ]
                        found[name] = _joined(found[name], said, workload.id, distribution, seed)
        builder.close()
        yield from found.values()


def _joined(before: Margin, said: list, workload: str, distribution: str, seed: int) -> Margin:
    worst = max(said, key=lambda c: c.worst)
    wrong = any(c.kind is not None for c in said)
    kept = {"refused": before.refused + wrong, "cases": before.cases + 1}
    if worst.worst <= before.worst:
        return Margin(**asdict(before) | kept)
    detail = f"{worst.kind}: {worst.detail}" if worst.kind else ""
    return Margin(
        **{
            "name": before.name, "worst": worst.worst, "workload": workload,
            "distribution": distribution, "seed": seed, "detail": detail, **kept,
        }
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--slice", default="0/1", help="which of how many parts of the problems")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    part, parts = (int(n) for n in asked.slice.split("/"))
    chosen = [p for p in honest() if p.spec.language == "cpp" and asked.only in p.name]
    found = []
    for bay in bays(chosen)[part::parts]:
        for margin in margins(bay.programs, asked.seeds):
            found.append(margin)
            if margin.worst > SHOWN:
                print(
                    f"{margin.worst:8.2f}  {margin.refused} of {margin.cases} refused  "
                    f"{margin.name}: {margin.workload}, {margin.distribution}, "
                    f"seed {margin.seed}  {margin.detail[:160]}",
                    file=sys.stderr, flush=True,
                )  # fmt: skip
    if asked.json:
        print(json.dumps([asdict(margin) for margin in found]))
    print(
        f"{len(found)} kernels, {sum(m.refused > 0 for m in found)} refused once", file=sys.stderr
    )
    return int(any(margin.refused for margin in found))


if __name__ == "__main__":
    sys.exit(main())
