"""A region as a reference file of its own, with the sizes of the whole's workloads beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernelwright.core.cut import Outline
from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Extent, Size
from kernelwright.core.problem import Problem, Source, TensorSpec, Workload
from kernelwright.problems.declared import Declared, to_text
from kernelwright.problems.naming import distinct, workloads_file
from kernelwright.problems.regions.cutting import boundary
from kernelwright.problems.regions.drawing import HELPER, Shapes, draw_written
from kernelwright.problems.regions.sizing import size_lines
from kernelwright.problems.regions.units import Unit, units_of
from kernelwright.problems.regions.wording import axes_in, axes_of, statement

# Names that the text of a region uses itself.
RESERVED = (
    "torch",
    "nn",
    "Model",
    "self",
    "drawn",
    "get_inputs",
    "get_init_inputs",
    "min",
    "float",
)
_ORDER = {"report": 0, "search": 1, "hidden": 2}


def shapes_of(outline: Outline) -> Shapes:
    """The shape and the type of every value of an outline, by name."""
    graph = outline.graph
    found: dict[str, tuple[tuple[Size, ...], object]] = {
        value.name: (value.shape, value.dtype) for value in graph.inputs
    }
    found |= {node.name: (node.shape, node.dtype) for node in graph.nodes}
    return found  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some units of a program, as a program: what it is given, what it makes, and its text.

    `axes` are the whole's axes that its sizes follow from, `names` what values and axes are called
    in the text.
    """

    units: tuple[Unit, ...]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    axes: tuple[str, ...]
    names: Mapping[str, str]


def part_of(problem: Problem, outline: Outline, names: Sequence[str]) -> Part:
    """The units called `names` of the `outline` of `problem`.

    Raises:
        ProblemError: a value that crosses its border is no tensor that a kernel can be given.
    """
    graph, shapes = outline.graph, shapes_of(outline)
    every = units_of(graph)
    units = tuple(unit for unit in every if unit.name in names)
    reads, makes = boundary(every, names, graph.outputs)
    for name in (*reads, *makes):
        if name not in shapes:
            raise ProblemError(f"{name} is a number that the caller gives, not a tensor.")
        if shapes[name][1] is None:
            raise ProblemError(f"{name} is of a type that problems do not have.")
    used = {axis for unit in units for node in unit.nodes for axis in axes_of(node)}
    used |= {axis for name in (*reads, *makes) for axis in axes_in(shapes[name][0])}
    axes = tuple(axis for axis in problem.axes if axis in used)
    values = [*reads, *(node.name for unit in units for node in unit.nodes)]
    called = distinct((*axes, *values), taken=RESERVED)
    return Part(
        units=units,
        reads=reads,
        makes=makes,
        axes=axes,
        names=dict(zip((*axes, *values), called, strict=True)),
    )


def source_of(problem: Problem, outline: Outline, part: Part, file: str, title: str) -> Source:
    """`part` of `problem` as a reference file, called `file`, and the file with its workloads.

    Raises:
        ProblemError: it cannot be written down, or nobody knows what it should be given.
    """
    shapes = shapes_of(outline)
    called = part.names
    draws = [draw_written(n, part.units, shapes, outline.seen, called) for n in part.reads]
    nodes = [node for unit in part.units for node in unit.nodes]
    used = {axis for node in nodes for axis in axes_of(node)}
    lines = list(size_lines(problem, used, _places(part, shapes), called))
    lines += [statement(node, called) for node in nodes]
    own = problem.report_workload.axes
    text = "\n".join(
        [
            f'"""{title}"""\n',
            "import torch",
            "import torch.nn as nn\n",
            *(f"{called[axis]} = {own[axis]}" for axis in part.axes),
            "\n\nclass Model(nn.Module):",
            f"    def forward(self, {', '.join(called[name] for name in part.reads)}):",
            *(f"        {line}" for line in lines),
            f"        return {', '.join(called[name] for name in part.makes)}\n",
            HELPER,
            "\ndef get_inputs():",
            "    return [",
            *(f"        {draw}," for draw in draws),
            "    ]\n\n",
            "def get_init_inputs():",
            "    return []\n",
        ]
    )
    beside = to_text(_workloads(problem, part))
    return Source(files={file: text, workloads_file(file): beside}, entry_point=f"{file}::Model")


def _places(part: Part, shapes: Shapes) -> dict[str, str]:
    """Where the sizes of axes are seen in the shapes of what `part` is given: it is called at other
    sizes than its file's own."""
    found: dict[str, str] = {}
    for name in part.reads:
        for at, size in enumerate(shapes[name][0]):
            if isinstance(size, Extent) and size == Extent(axes=size.axes[:1]):
                found.setdefault(size.axes[0], f"{part.names[name]}.shape[{at}]")
    return found


def _workloads(problem: Problem, part: Part) -> list[Declared]:
    """The whole's workloads, as far as they differ for the part; the report's first."""
    found: dict[tuple[int, ...], Declared] = {}
    for workload in sorted(problem.workloads, key=lambda w: _ORDER[w.split]):
        sizes = {part.names[axis]: workload.axes[axis] for axis in part.axes}
        told = Declared(id=workload.id, split=workload.split, constants=sizes)
        found.setdefault(tuple(sizes.values()), told)
    return list(found.values())


def unchecked(problem: Problem, outline: Outline, part: Part, source: Source) -> Problem:
    """`part` as a problem that nothing was checked or derived of: good for tracing it only."""
    shapes = shapes_of(outline)
    extra: dict[Extent, str] = {}

    def spec(name: str, role: str) -> TensorSpec:
        shape = tuple(_axis(size, part, extra) for size in shapes[name][0])
        return TensorSpec.model_validate(
            {"name": part.names[name], "shape": shape, "dtype": shapes[name][1], "role": role}
        )

    inputs = tuple(spec(name, "input") for name in part.reads)
    outputs = tuple(spec(name, "output") for name in part.makes)
    workloads = []
    for workload in problem.workloads:
        sizes = {part.names[axis]: workload.axes[axis] for axis in part.axes}
        more = {name: int(size.at(workload.axes)) for size, name in extra.items()}
        workloads.append(
            Workload(id=workload.id, split=workload.split, axes={**sizes, **more}, constants=sizes)
        )
    return Problem(
        id=source.main_file,
        title=source.main_file,
        origin=source.main_file,
        axes=(*(part.names[axis] for axis in part.axes), *extra.values()),
        inputs=inputs,
        outputs=outputs,
        reference=source,
        workloads=tuple(workloads),
    )


def _axis(size: Size, part: Part, extra: dict[Extent, str]) -> str | int:
    if isinstance(size, int):
        return size
    if not isinstance(size, Extent):
        raise ProblemError("A size of it changes with the others in a way that has no name.")
    if size == Extent(axes=size.axes[:1]):
        return part.names[size.axes[0]]
    taken = {*part.names.values(), *extra.values()}
    return extra.setdefault(size, distinct([f"n{len(extra)}"], taken=taken)[0])
