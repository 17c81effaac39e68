"""The file of a Triton candidate: the reference, the kernels, and the module that launches them."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.graph import Extent
from kernelwright.core.problem import Problem, Source, TensorSpec
from kernelwright.knowledge.sketches.poly import Poly, product
from kernelwright.knowledge.sketches.site import NoSketch, WindowCount
from kernelwright.knowledge.sketches.text import grouped
from kernelwright.knowledge.sketches.triton.nests import indented
from kernelwright.knowledge.sketches.triton.text import TritonText
from kernelwright.problems.sizes import explain

FILE = "kernel.py"
CLASS = "ModelNew"

_MEANING = {
    "BLOCK": "elements that a program works on at once, unless it holds longer rows",
    "NUM_WARPS": "warps of a program",
    "COLUMNS": "neighbouring columns that a program brings together",
    "TILE_ROWS": "rows of a tile of a matrix product",
    "TILE_COLUMNS": "columns of a tile of a matrix product",
    "TILE_DEPTH": "products of each sum that are loaded at once",
    "STAGES": "tiles of the factors that are loaded ahead",
    "TILE_QUERIES": "queries that a program of attention is for, fewer where a head is long",
    "TILE_KEYS": "keys that it takes at once, fewer where a head is long",
    "ATTENTION_WARPS": "warps of a program of attention",
    "ATTENTION_STAGES": "tiles of keys and values that it loads ahead",
    "PROGRAMS": "programs that few rows or columns are shared among",
}


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a file is made of: the texts of the `kernels`, the lines that launch them, the `spaces`
    that they walk, and where memory is made, as an argument of torch's. `counts` says of axes that
    no input may have what they follow from."""

    problem: Problem
    text: TritonText
    tunables: tuple[Tunable, ...]
    device: str
    kernels: Sequence[str]
    launches: Sequence[str]
    spaces: Sequence[Poly]
    counts: Mapping[str, WindowCount]


def candidate(draft: Written) -> Candidate:
    """The candidate that `draft` is the text of.

    Raises:
        NoSketch: the reference has a name of ours for something else, or a size comes from nowhere.
    """
    problem, tunables = draft.problem, draft.tunables
    for tunable in tunables:
        if re.search(rf"^{tunable.name}\b", problem.reference.text, re.MULTILINE):
            raise NoSketch(f"The reference has a constant {tunable.name} of its own.")
    module = _module(draft)
    written = "\n".join([*draft.kernels, module])
    parts = [
        "# The program that this file replaces; its constructor and its weights are kept.\n"
        + problem.reference.text.strip(),
        "import operator\n\nimport torch\nimport torch.nn as nn\nimport triton\n"
        "import triton.language as tl",
        *("\n".join(_tunable_lines(t)) for t in tunables),
        *pieces(written),
        *draft.kernels,
        module,
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


def _module(draft: Written) -> str:
    """The class: the reference's constructor, and a forward that launches the kernels."""
    problem, text = draft.problem, draft.text
    names = text.tensors
    given = [names[s.name] for s in problem.inputs if s.role != "weight"]
    weights = [names[s.name] for s in problem.inputs if s.role == "weight"]
    lines = [f"class {CLASS}({problem.reference.name}):"]
    if weights:
        lines += indented(_constructor())
    lines.append(f"    def forward(self, {', '.join(given)}):")
    work = [*_allocated(draft), *draft.launches]
    if any("INDEX=" in line for line in work):
        work.insert(0, _index(draft))
    sizes = _sizes(text, "\n".join(work))
    body = _unpacked(problem, weights, names)
    body += _axes(draft, "\n".join([*sizes, *work])) + sizes + work
    outputs = ", ".join(names[s.name] for s in problem.outputs)
    lines += indented(indented([*body, f"return {outputs}"]))
    return "\n".join(lines)


def _sizes(text: TritonText, work: str) -> list[str]:
    """What kernels and launches need that is more than an axis."""
    return [
        f"{name} = {size.text(text.axes, text.division)}"
        for size, name in text.sizes.items()
        if re.search(rf"\b{name}\b", work)
    ]


def _index(draft: Written) -> str:
    """The type of positions, from the number of elements of whatever is read, written or walked."""
    problem, text = draft.problem, draft.text
    found = [_elements(s) for s in (*problem.inputs, *problem.outputs) if s.role != "scalar"]
    by_text = {s.text(text.axes, text.division): s for s in [*found, *draft.spaces]}
    sizes = ", ".join(
        name
        for name, size in by_text.items()
        if not any(_is_part(size, other) for other in by_text.values() if other is not size)
    )
    return f"{text.unique('index')} = kw_index({sizes})"


def _elements(spec: TensorSpec) -> Poly:
    return product([Poly.axis(d) if isinstance(d, str) else Poly.number(d) for d in spec.shape])


def _is_part(size: Poly, other: Poly) -> bool:
    """Whether `other` is certainly a multiple of `size`, and so never smaller."""
    ratio = other / size
    return ratio is not None and ratio.whole and ratio.never_negative


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


def _axes(draft: Written, work: str) -> list[str]:
    """Each axis that `work` names, from the shape of the first input that has it."""
    named = draft.text.axes
    needed = [a for a in draft.problem.axes if re.search(rf"\b{named[a]}\b", work)]
    return [f"{named[axis]} = {_size(draft, axis)}" for axis in needed]


def _size(draft: Written, axis: str) -> str:
    """The size of `axis`: a dimension of an input, or what follows from those (half of one)."""
    problem, text = draft.problem, draft.text
    tensors = [s for s in problem.inputs if s.role != "scalar"]

    def given(one: str) -> str | None:
        owner = next((s for s in tensors if one in s.shape), None)
        if owner is None:
            return None
        return f"{text.tensors[owner.name]}.shape[{owner.shape.index(one)}]"

    if (found := given(axis)) is not None:
        return found
    if (count := draft.counts.get(axis)) is not None:
        return count.text({one: grouped(_size(draft, one)) for one in sorted(count.axes)})
    owned = {a: shape for a in problem.axes if (shape := given(a)) is not None}
    values = [w.axes[axis] for w in problem.workloads]
    sizes = [{a: w.axes[a] for a in owned} for w in problem.workloads]
    follows = explain(values, sizes)
    if not isinstance(follows, Extent):
        raise NoSketch(f"No input has the axis {axis}, so a Triton kernel cannot be told it.")
    return Poly.from_extent(follows).text(owned, text.division)


def device(problem: Problem, text: TritonText) -> str:
    """Where memory is made: beside the first tensor.

    Raises:
        NoSketch: there is none.
    """
    tensors = [s for s in problem.inputs if s.role != "scalar"]
    if not tensors:
        raise NoSketch("The reference takes no tensor, so there is no device to launch on.")
    return f"device={text.tensors[tensors[0].name]}.device"


def _allocated(draft: Written) -> list[str]:
    """Memory for the outputs."""
    names = draft.text.tensors
    return [
        f"{names[s.name]} = torch.empty({_shape(s, draft.text)}, dtype=torch.{s.dtype}, "
        f"{draft.device})"
        for s in draft.problem.outputs
    ]


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
