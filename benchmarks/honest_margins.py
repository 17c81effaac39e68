"""How much of its tolerance each honest kernel uses up, under every distribution and size.

    python benchmarks/honest_margins.py [--seeds N] [--only PART] [--slice I/N] [--json]
    python benchmarks/honest_margins.py --library [--device cuda] …

The self-check judges a kernel on the few cases that one evaluation draws; here it is called on all
that could be drawn, so that a tolerance which refuses one draw in twenty shows, and so does a
kernel that is wrong on one in twenty. It takes the C++ kernels of the honest corpus, or with
--library those that ship in the library, on a GPU those in Triton. They are called in this process,
without the sandbox, and nothing is timed. Lists what used more than 70%.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from kernelwright.core.agreement import compare
from kernelwright.core.candidate import Candidate
from kernelwright.core.problem import Direction, Problem, Source
from kernelwright.corpora.loading import honest
from kernelwright.evaluate.building.builder import Builder, Built
from kernelwright.evaluate.isolation.levels import isolation_level
from kernelwright.evaluate.running.arena import as_tensor
from kernelwright.languages.cpp import Cpp
from kernelwright.languages.reading import candidate_from_file
from kernelwright.library.modules import RUN
from kernelwright.library.shelf import SHIPPED, read_library
from kernelwright.problems.case import Case
from kernelwright.problems.dtypes import TORCH_DTYPES
from kernelwright.problems.reference import Device, Reference

SHOWN = 0.7
# What has more elements is not asked on a GPU: one such case takes longer than all others.
LARGE = 2**22
Kernel = Callable[[Case, dict[str, int]], list[np.ndarray]]


@dataclass(frozen=True)
class Margin:
    """The worst that one kernel did: its largest error over what was allowed; above 1 it is
    refused, which is a false alarm if the kernel is right."""

    name: str
    worst: float
    workload: str
    distribution: str
    seed: int
    detail: str
    refused: int
    cases: int


@dataclass(frozen=True)
class Subject:
    """A kernel to call: of what problem, and how it becomes a candidate for it."""

    name: str
    origin: str | Source
    direction: Direction | None
    candidate: Callable[[Problem], Candidate]


def of_corpus() -> list[Subject]:
    """The C++ kernels of the honest corpus."""
    return [
        Subject(p.name, p.origin, None, lambda problem, p=p: candidate_from_file(problem, p.path))
        for p in honest()
        if p.spec.language == "cpp"
    ]


def of_library(language: str) -> list[Subject]:
    """The kernels of the library in `language`."""
    return [
        Subject(k.name, k.reference, k.about.computes.direction, k.candidate)
        for k in read_library([SHIPPED])[0]
        if k.about.language == language
    ]


def loaded(candidate: Candidate, problem: Problem, folder: Path) -> Kernel:
    """The built kernel as a function of a case and its sizes."""
    if candidate.lane == "module":
        return _loaded_module(candidate, problem, folder)
    builder = Builder(folder, isolation_level()[0])
    built = builder.build(Cpp().build(candidate, problem))
    builder.close()
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


def _loaded_module(candidate: Candidate, problem: Problem, folder: Path) -> Kernel:
    """The function by which the library puts a module to a problem, on the GPU."""
    path = folder / f"{candidate.id}.py"
    path.write_text(candidate.source.text, encoding="utf-8")  # Triton reads the file
    spec = importlib.util.spec_from_file_location(f"kernel_{candidate.id}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(case: Case, axes: dict[str, int]) -> list[np.ndarray]:
        given = [
            torch.from_numpy(np.array(data).view(np.uint8))
            .view(TORCH_DTYPES[spec.dtype])
            .reshape(tuple(axes[d] if isinstance(d, str) else d for d in spec.shape))
            for data, spec in zip(case.inputs.values(), problem.inputs, strict=True)
        ]
        scalars = [spec.role == "scalar" for spec in problem.inputs]
        returned = getattr(module, RUN)(
            *(t.item() if s else t.cuda() for t, s in zip(given, scalars, strict=True))
        )
        outputs = returned if isinstance(returned, tuple | list) else (returned,)
        return [o.contiguous().view(-1).view(torch.uint8).cpu().numpy() for o in outputs]

    return call


def margins(subjects: Sequence[Subject], seeds: int, device: Device) -> Iterator[Margin]:
    """The margin of each of `subjects`, which share a problem."""
    first = subjects[0]
    with (
        Reference.open(first.origin, direction=first.direction, device=device) as reference,
        tempfile.TemporaryDirectory() as folder,
    ):
        problem = reference.load()
        kernels = {s.name: loaded(s.candidate(problem), problem, Path(folder)) for s in subjects}
        found = {name: Margin(name, 0.0, "", "", 0, "", 0, 0) for name in kernels}
        for workload in problem.workloads:
            tensors = (*problem.inputs, *problem.outputs)
            if device != "cpu" and max(t.elements(workload.axes) for t in tensors) > LARGE:
                continue
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


def _problem_of(subject: Subject) -> str:
    origin = subject.origin
    text = origin.text if isinstance(origin, Source) else origin
    return f"{subject.direction} {text}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--slice", default="0/1", help="which of how many parts of the problems")
    parser.add_argument("--library", action="store_true", help="the library's kernels instead")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.device == "cuda" and not asked.library:
        parser.error("the corpus is called on a CPU: give --library with --device cuda")
    part, parts = (int(n) for n in asked.slice.split("/"))
    language = "cpp" if asked.device == "cpu" else "triton"
    subjects = of_library(language) if asked.library else of_corpus()
    chosen = sorted((s for s in subjects if asked.only in s.name), key=_problem_of)
    by_problem = [list(same) for _, same in groupby(chosen, key=_problem_of)]
    found = []
    for same in by_problem[part::parts]:
        for margin in margins(same, asked.seeds, asked.device):
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
