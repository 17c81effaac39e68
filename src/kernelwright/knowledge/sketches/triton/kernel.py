"""A whole Triton candidate: a kernel for each stage of a plan, and the module that calls them."""

from __future__ import annotations

import importlib.resources
import re

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.graph import Extent
from kernelwright.core.problem import Problem, Source, TensorSpec
from kernelwright.knowledge.sketches.poly import ONE, Poly
from kernelwright.knowledge.sketches.rewrites import by_reciprocal
from kernelwright.knowledge.sketches.site import NoSketch
from kernelwright.knowledge.sketches.stages import Plan, Stage, mapped
from kernelwright.knowledge.sketches.triton.nests import Nest, indented
from kernelwright.knowledge.sketches.triton.resident import ResidentNest
from kernelwright.knowledge.sketches.triton.text import TritonText
from kernelwright.problems.sizes import explain

FILE = "kernel.py"
CLASS = "ModelNew"

BLOCK = Tunable(name="BLOCK", choices=(256, 512, 1024, 2048, 4096, 8192), default=1024)
NUM_WARPS = Tunable(name="NUM_WARPS", choices=(1, 2, 4, 8, 16), default=4)
_MEANING = {"BLOCK": "elements that a program works on at once", "NUM_WARPS": "warps of a program"}


# A program that holds a longer row than this would keep it in slow memory.
_LONGEST_RESIDENT = 32768


def resident(problem: Problem, plan: Plan) -> Candidate | None:
    """A row is held by one program as a whole; None where no stage has such rows."""
    return _rendered(problem, plan, resident=True)


def looped(problem: Problem, plan: Plan) -> Candidate | None:
    """Every row is walked block by block, in as many passes as there are dependent reductions."""
    return _rendered(problem, plan, resident=False)


def _can_reside(stage: Stage) -> bool:
    return bool(stage.passes) and stage.in_rows and stage.depth.extent == ONE


def _rendered(problem: Problem, plan: Plan, *, resident: bool) -> Candidate | None:
    if resident and not any(_can_reside(stage) for stage in plan.stages):
        return None
    text = TritonText(problem, plan.lowering.maker)
    for temporary in plan.temporaries:
        text.tensors[temporary.name] = text.unique(temporary.name)
        text.stored[temporary.name] = temporary.dtype
    kernels, launches = list[str](), list[str]()
    for number, stage in enumerate(plan.stages):
        cheaper, name = _cheaper(plan, stage), text.unique(f"kw_stage_{number}")
        looping = Nest(text, cheaper)
        body = looping.body()
        kernels.append(_kernel(text, name, body))
        launch = _launch(text, name, body, looping.programs(), "BLOCK")
        if resident and _can_reside(stage):
            whole = ResidentNest(text, cheaper)
            lanes = text.poly(stage.lane.extent)
            body, block = whole.body(), f"triton.next_power_of_2({lanes})"
            kernels.append(_kernel(text, f"{name}_whole", body))
            held = _launch(text, f"{name}_whole", body, whole.programs(), block)
            condition = f"if {lanes} <= {_LONGEST_RESIDENT}:"
            launches += [condition, f"    {held}", "else:", f"    {launch}"]
        else:
            launches.append(launch)
    return _candidate(problem, plan, text, kernels, launches)


def _cheaper(plan: Plan, stage: Stage) -> Stage:
    inner = {"depth"} if not stage.in_rows else {"depth", "lane", "own"}
    return mapped(stage, lambda e: by_reciprocal(plan.lowering.maker, e, inner))


def _used(text: TritonText, body: str) -> list[str]:
    """The tensors, numbers and sizes that a kernel's body names, in the signature's order."""
    known = [*text.tensors.values(), *text.axes.values()]
    return [n for n in known if re.search(rf"\b{n}\b", body)]


def _kernel(text: TritonText, name: str, body: list[str]) -> str:
    listed = ", ".join([*_used(text, "\n".join(body)), "BLOCK: tl.constexpr"])
    return "\n".join(["@triton.jit", f"def {name}({listed}):", *indented(body)])


def _launch(text: TritonText, name: str, body: list[str], programs: str, block: str) -> str:
    used = _used(text, "\n".join(body))
    listed = ", ".join([*used, f"BLOCK={block}", "num_warps=NUM_WARPS"])
    return f"{name}[({programs},)]({listed})"


def _candidate(
    problem: Problem, plan: Plan, text: TritonText, kernels: list[str], launches: list[str]
) -> Candidate:
    written = "\n".join(kernels)
    tunables = (BLOCK, NUM_WARPS)
    for tunable in tunables:
        if re.search(rf"^{tunable.name}\b", problem.reference.text, re.MULTILINE):
            raise NoSketch(f"The reference has a constant {tunable.name} of its own.")
    parts = [
        "# The program that this file replaces; its constructor and its weights are kept.\n"
        + problem.reference.text.strip(),
        "import operator\n\nimport torch\nimport torch.nn as nn\nimport triton\n"
        "import triton.language as tl",
        *("\n".join(_tunable_lines(t)) for t in tunables),
        *pieces(written),
        *kernels,
        _module(problem, plan, text, launches),
    ]
    return Candidate(
        problem_id=problem.id,
        language="triton",
        lane="module",
        source=Source(files={FILE: "\n\n".join(parts) + "\n"}, entry_point=f"{FILE}::{CLASS}"),
        tunables=tunables,
    )


def _tunable_lines(tunable: Tunable) -> list[str]:
    choices = ", ".join(map(str, tunable.choices))
    return [
        f"# {_MEANING[tunable.name]}",
        f"# tunable: {tunable.name} = {tunable.default} in {{{choices}}}",
        f"{tunable.name} = {tunable.default}",
    ]


def _module(problem: Problem, plan: Plan, text: TritonText, launches: list[str]) -> str:
    """The class: the reference's constructor, and a forward that launches the kernels."""
    names = text.tensors
    given = [names[s.name] for s in problem.inputs if s.role != "weight"]
    weights = [names[s.name] for s in problem.inputs if s.role == "weight"]
    lines = [f"class {CLASS}({problem.reference.name}):"]
    if weights:
        lines += indented(_constructor())
    lines.append(f"    def forward(self, {', '.join(given)}):")
    work = _allocated(problem, plan, text) + launches
    body = _unpacked(problem, weights, names) + _axes(problem, text, "\n".join(work)) + work
    outputs = ", ".join(names[s.name] for s in problem.outputs)
    lines += indented(indented([*body, f"return {outputs}"]))
    return "\n".join(lines)


def _constructor() -> list[str]:
    return [
        "def __init__(self, *args, **kwargs):",
        "    super().__init__(*args, **kwargs)",
        "    # Each tensor once, by the first of its names, in the order of the state_dict.",
        "    state = self.state_dict(keep_vars=True)",
        "    names = {id(v): n for n, v in reversed(state.items()) if isinstance(v, torch.Tensor)}",
        "    ordered = [n for n in state if n in names.values()]",
        "    self.kw_weights = [operator.attrgetter(n) for n in ordered]",
        "",
    ]


def _unpacked(problem: Problem, weights: list[str], names: dict[str, str]) -> list[str]:
    lines = []
    if weights:
        listed = ", ".join(weights) + ("," if len(weights) == 1 else "")
        lines.append(f"{listed} = [get(self).contiguous() for get in self.kw_weights]")
    lines += [
        f"{names[s.name]} = {names[s.name]}.contiguous()"
        for s in problem.inputs
        if s.role == "input"
    ]
    return lines


def _axes(problem: Problem, text: TritonText, work: str) -> list[str]:
    """Each axis that `work` names, from the shape of the first input that has it."""
    lines = []
    tensors = [s for s in problem.inputs if s.role != "scalar"]
    for axis in [a for a in problem.axes if re.search(rf"\b{text.axes[a]}\b", work)]:
        lines.append(f"{text.axes[axis]} = {_size(problem, text, axis, tensors)}")
    return lines


def _size(problem: Problem, text: TritonText, axis: str, tensors: list[TensorSpec]) -> str:
    """The size of `axis`: a dimension of an input, or what follows from those (half of one)."""

    def given(one: str) -> str | None:
        owner = next((s for s in tensors if one in s.shape), None)
        if owner is None:
            return None
        return f"{text.tensors[owner.name]}.shape[{owner.shape.index(one)}]"

    if (found := given(axis)) is not None:
        return found
    owned = {a: shape for a in problem.axes if (shape := given(a)) is not None}
    values = [w.axes[axis] for w in problem.workloads]
    sizes = [{a: w.axes[a] for a in owned} for w in problem.workloads]
    follows = explain(values, sizes)
    if not isinstance(follows, Extent):
        raise NoSketch(f"No input has the axis {axis}, so a Triton kernel cannot be told it.")
    return Poly.from_extent(follows).text(owned, text.division)


def _allocated(problem: Problem, plan: Plan, text: TritonText) -> list[str]:
    tensors = [s for s in problem.inputs if s.role != "scalar"]
    if not tensors:
        raise NoSketch("The reference takes no tensor, so there is no device to launch on.")
    device = f"device={text.tensors[tensors[0].name]}.device"
    lines = [
        f"{text.tensors[s.name]} = torch.empty({_shape(s, text)}, dtype=torch.{s.dtype}, {device})"
        for s in problem.outputs
    ]
    for temporary in plan.temporaries:
        name, size = text.tensors[temporary.name], text.poly(temporary.elements)
        lines.append(f"{name} = torch.empty(({size},), dtype=torch.{temporary.dtype}, {device})")
    return lines


def _shape(spec: TensorSpec, text: TritonText) -> str:
    sizes = [text.axes[d] if isinstance(d, str) else str(d) for d in spec.shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def pieces(written: str) -> list[str]:
    """The functions of ``pieces.txt`` that `written` uses, and those that they use, in order."""
    text = importlib.resources.files(__package__).joinpath("pieces.txt").read_text()
    functions = text.strip().split("\n\n")[1:]
    names = [re.findall(r"^def (kw_\w+)", f, re.MULTILINE)[0] for f in functions]
    wanted, chosen = set(re.findall(r"\bkw_\w+", written)), set[int]()
    while True:
        more = {n for n, name in enumerate(names) if name in wanted and n not in chosen}
        if not more:
            return [functions[n] for n in sorted(chosen)]
        chosen |= more
        for n in more:
            wanted |= set(re.findall(r"\bkw_\w+", functions[n]))
