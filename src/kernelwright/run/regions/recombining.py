"""A program put together again: the regions' kernels where they are faster, torch for the rest.

What comes out is one candidate in plain Python for the whole problem. Its main file has the
reference's text and a `ModelNew` of the reference's class, whose `forward` is the outline; a kernel
is called through the same code, with the same checks, as a run's own ``best_module.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kernelwright.core.candidate import Candidate
from kernelwright.core.cut import Cut, Region
from kernelwright.core.problem import Problem, Source
from kernelwright.problems.naming import distinct
from kernelwright.problems.regions.cutting import in_order
from kernelwright.problems.regions.sizing import size_lines
from kernelwright.problems.regions.units import units_of
from kernelwright.problems.regions.wording import axes_of, statement
from kernelwright.run.delivery import KernelFile, code_text, facts_text, literal

MAIN = "regions.py"
_OURS = ("torch", "self", "ModelNew", "float")

_LOADING = '''
import importlib.util as _importing
import sys as _sys
from pathlib import Path as _Path

import torch
from torch import nn

_HOME = _Path(__file__).resolve().parent


def _beside(file):
    """The module in the file beside this one."""
    name = f"{__name__}_{_Path(file).stem}"
    spec = _importing.spec_from_file_location(name, _HOME / file)
    module = _importing.module_from_spec(spec)
    _sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

'''


@dataclass(frozen=True, kw_only=True)
class RegionKernel:
    """A region's kernel, and how it is to be used."""

    region: Region
    file: KernelFile


def code_file(form: str) -> str:
    """The file with what calls kernels of this form."""
    return f"regions_{form}.py"


def recombined(problem: Problem, cut: Cut, kernels: Sequence[RegionKernel]) -> Candidate:
    """The candidate for the whole `problem` in which `kernels` take the place of their regions.

    Raises:
        ProblemError: what stays torch cannot be written down.
    """
    forms = sorted({str(kernel.file.form) for kernel in kernels})
    files = {code_file(form): code_text(form) for form in forms}
    for kernel in kernels:
        files[kernel.file.name] = kernel.file.text
    main = "\n".join(
        [
            problem.reference.text.rstrip("\n"),
            "\n\n# The regions of it that have kernels.",
            _LOADING,
            *(f'_{form.upper()} = _beside("{code_file(form)}")' for form in forms),
            *(_region_text(kernel) for kernel in kernels),
            *_model(problem, cut, kernels, forms[0]),
            "",
        ]
    )
    files[MAIN] = main
    return Candidate(
        problem_id=problem.id,
        language="python",
        source=Source(files=files, entry_point=f"{MAIN}::ModelNew"),
        lane="module",
    )


def _region_text(kernel: RegionKernel) -> str:
    """A region's facts, its reference, and the module that is called for it."""
    number = kernel.region.number
    made = f"_{str(kernel.file.form).upper()}.make_model"
    facts = facts_text(kernel.file.facts)
    return (
        f"\n# Region {number}: {', '.join(kernel.region.ops)}.\n"
        f"_FACTS_{number} = {facts}\n"
        f"_REFERENCE_{number} = {literal(kernel.region.source.text)}\n"
        f"_REGION_{number} = {made}(\n"
        f'    _FACTS_{number}, _REFERENCE_{number}, _HOME, f"{{__name__}}_region_{number}"\n'
        ")()\n"
    )


def _model(problem: Problem, cut: Cut, kernels: Sequence[RegionKernel], form: str) -> Iterator[str]:
    """The lines of ``ModelNew``."""
    graph = cut.outline.graph
    inputs = [spec.name for spec in problem.inputs]
    nodes = [node.name for node in graph.nodes]
    # The inputs of a graph are inputs of its problem, and have their names.
    wanted = [*inputs, *problem.axes, *nodes]
    called = dict(zip(wanted, distinct(wanted, taken=_OURS), strict=True))
    weights = [called[spec.name] for spec in problem.inputs if spec.role == "weight"]
    given = [called[spec.name] for spec in problem.inputs if spec.role != "weight"]
    body = [f"        {line}" for line in _forward(problem, cut, kernels, called)]
    yield f"\nclass ModelNew({problem.reference.name}):"
    yield "    def __init__(self, *args, **named):"
    yield "        super().__init__(*args, **named)"
    yield f"        self._kw_own = _{form.upper()}.weights_of(self)\n"
    yield f"    def forward({', '.join(['self', *given])}):"
    if weights:
        yield f"        [{', '.join(weights)}] = [table[name] for table, name in self._kw_own]"
    yield from body


def _forward(
    problem: Problem, cut: Cut, kernels: Sequence[RegionKernel], called: Mapping[str, str]
) -> Iterator[str]:
    graph = cut.outline.graph
    units = {unit.name: unit for unit in units_of(graph)}
    by_part = {kernel.region.nodes: kernel.region for kernel in kernels}
    lines: list[str] = []
    used: set[str] = set()
    for part in in_order(list(units.values()), list(by_part)):
        if part in by_part:
            lines.append(_call(by_part[part], called))
            continue
        for node in units[part[0]].nodes:
            lines.append(statement(node, called))
            used |= set(axes_of(node))
    yield from size_lines(problem, used, _places(problem, called), called)
    yield from lines
    yield f"return {', '.join(called[name] for name in graph.outputs)}"


def _call(region: Region, called: Mapping[str, str]) -> str:
    """A kernel reads memory in the order of its tensors' elements, so it is given that."""
    given = ", ".join(f"{called[name]}.contiguous()" for name in region.reads)
    made = ", ".join(called[name] for name in region.makes)
    return f"{made} = _REGION_{region.number}({given})"


def _places(problem: Problem, called: Mapping[str, str]) -> dict[str, str]:
    """Where the sizes of axes are seen in the shapes of what the whole is given."""
    found: dict[str, str] = {}
    for spec in problem.inputs:
        for at, size in enumerate(spec.shape):
            if isinstance(size, str):
                found.setdefault(size, f"{called[spec.name]}.shape[{at}]")
    return found
