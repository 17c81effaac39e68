"""A kernel of the library as a candidate for another problem: its text, and how it is called.

The kernel itself stays as it is but for the constants that it names. A native kernel gets a second
function with the problem's own parameters, which calls it; a module gets the problem's own model,
whose `forward` calls the kernel's function `run`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

from kernelwright.core.candidate import Candidate
from kernelwright.core.problem import Problem, Source
from kernelwright.knowledge.sketches.poly import Poly
from kernelwright.languages.cuda import STREAM
from kernelwright.languages.signature import signature
from kernelwright.library.matching import Fit, NoFit, shape_of

ADAPTED, RUN, MODEL = "adapted", "run", "ModelNew"
_NUMBER = r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def adapted(found: Fit, problem: Problem, device: str | None = None) -> Candidate:
    """The kernel as a candidate for `problem`, set as was best on `device` where that is known.

    Raises:
        NoFit: its text cannot be joined to the problem.
    """
    kernel, about = found.kernel, found.kernel.about
    text = with_constants(kernel.source.text, found.constants)
    if about.lane == "native":
        text, entry = _native(found, problem, text)
    else:
        text, entry = _module(found, problem, text), MODEL
    main = kernel.source.main_file
    lines = [f"From the library of Kernelwright: {kernel.name}."]
    mark = "//" if about.lane == "native" else "#"
    head = "".join(f"{mark} {line}\n" for line in lines)
    return kernel.candidate(problem, device).model_copy(
        update={
            "source": Source(
                files={**kernel.source.files, main: head + text}, entry_point=f"{main}::{entry}"
            )
        }
    )


def constant_line(name: str) -> re.Pattern[str]:
    """The line of a text that gives the constant `name` its number: ``#define NAME 1e-6f``,
    ``constexpr float NAME = 1e-6f;`` or, in Python, ``NAME = 1e-6``."""
    native = rf"[ \t]*(?:static[ \t]+)?constexpr[ \t]+(?:float|double)[ \t]+{name}[ \t]*=[ \t]*"
    macro = rf"[ \t]*#[ \t]*define[ \t]+{name}[ \t]+"
    python = rf"{name}[ \t]*(?::[ \t]*[\w.\[\]]+[ \t]*)?=[ \t]*(?:tl\.constexpr\()?"
    return re.compile(rf"^({native}|{macro}|{python})({_NUMBER})", re.MULTILINE)


def with_constants(text: str, values: Mapping[str, float]) -> str:
    """`text` with its constants set to `values`.

    >>> with_constants("constexpr float EPS = 1e-6f;", {"EPS": 1e-5})
    'constexpr float EPS = 1e-05f;'

    Raises:
        NoFit: a constant has no line of its own, or several.
    """
    for name, value in values.items():
        line = constant_line(name)
        if len(line.findall(text)) != 1:
            raise NoFit(f"Its text does not give {name} a number, once, on a line of its own.")
        text = line.sub(rf"\g<1>{float(value)!r}", text)
    return text


def _native(found: Fit, problem: Problem, text: str) -> tuple[str, str]:
    """The text with a function that has the problem's parameters, and that function's name."""
    entry = found.kernel.source.name
    ours, theirs = signature(problem), _own_signature(found)
    tensors = {s.name: p.name for s, p in zip(problem.inputs, ours.inputs, strict=True)}
    tensors |= {s.name: p.name for s, p in zip(problem.outputs, ours.outputs, strict=True)}
    axes = dict(zip(problem.axes, (p.name for p in ours.sizes), strict=True))
    names = {**found.tensors, **found.outputs}
    arguments = [tensors[names[name]] for name in theirs]
    arguments += [found.sizes[axis].text(axes, "/") for axis in found.kernel.about.computes.sizes]
    if arguments == list(ours.names):
        return text, entry
    # What a language hands over behind the sizes goes through.
    after = [STREAM] if found.kernel.about.language == "cuda" else []
    arguments += [p.name for p in after]
    declared = ours.declaration(ADAPTED, after=map(str, after))
    wrapper = f"\n{declared} {{\n    {entry}({', '.join(arguments)});\n}}\n"
    return text.rstrip() + "\n" + wrapper, ADAPTED


def _own_signature(found: Fit) -> list[str]:
    """The kernel's tensors in the order of its parameters."""
    what = found.kernel.about.computes
    return [spec.name for spec in (*what.inputs, *what.written)]


def _module(found: Fit, problem: Problem, text: str) -> str:
    """The problem's own model over the kernel's function `run`."""
    what = found.kernel.about.computes
    reference = problem.reference.text.strip()
    shared = _bound(reference) & _bound(text) - {MODEL}
    if shared:
        raise NoFit(f"Its text and the reference both define {', '.join(sorted(shared))}.")
    names = {**found.tensors, **found.outputs}
    given = [s.name for s in problem.inputs if s.role != "weight"]
    weights = [s.name for s in problem.inputs if s.role == "weight"]
    local = {s.name: f"t{n}" for n, s in enumerate(problem.inputs)}
    local |= {s.name: f"out{n}" for n, s in enumerate(problem.outputs)}
    axes, lines = _axes(problem, local)
    arguments = [
        local[names[s.name]]
        if s.role == "scalar"
        else f"{local[names[s.name]]}.reshape({_shape(shape_of(s, found.sizes), axes)})"
        for s in what.inputs
    ]
    results = [local[names[s.name]] for s in what.written]
    returned = [
        f"{local[s.name]}.reshape({_shape(_sizes_of(s.shape), axes)})" for s in problem.outputs
    ]
    unpacked = (
        [f"{''.join(f'{local[w]}, ' for w in weights)}= [get(self) for get in self.kw_weights]"]
        if weights
        else []
    )
    body = [
        *unpacked,
        *lines,
        f"{', '.join(results)} = {RUN}({', '.join(arguments)})",
        f"return {', '.join(returned)}",
    ]
    forward = f"    def forward(self, {', '.join(local[g] for g in given)}):"
    model = [
        f"class {MODEL}({problem.reference.name}):",
        *_CONSTRUCTOR,
        forward,
        *(f"        {line}" for line in body),
    ]
    own = _without(text, MODEL)
    joined = [reference, "import operator\n\nimport torch", own.strip(), "\n".join(model)]
    return "\n\n\n".join(joined) + "\n"


_CONSTRUCTOR = (
    "    def __init__(self, *args, **kwargs):",
    "        super().__init__(*args, **kwargs)",
    "        # Each tensor once, by the first of its names, in the order of the state_dict.",
    "        state = self.state_dict(keep_vars=True)",
    "        names = {id(v): n for n, v in reversed(state.items()) if isinstance(v, torch.Tensor)}",
    "        ordered = [n for n in state if n in names.values()]",
    "        self.kw_weights = [operator.attrgetter(n) for n in ordered]",
    "",
)


def _axes(problem: Problem, local: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """A name for each axis that an input shows, and the lines that set them."""
    found: dict[str, str] = {}
    lines: list[str] = []
    for spec in problem.inputs:
        for dim, axis in enumerate(spec.shape):
            if isinstance(axis, str) and axis not in found and spec.role != "scalar":
                found[axis] = f"n{len(found)}"
                lines.append(f"{found[axis]} = {local[spec.name]}.shape[{dim}]")
    return found, lines


def _sizes_of(shape: Sequence[str | int]) -> tuple[Poly, ...]:
    return tuple(Poly.axis(d) if isinstance(d, str) else Poly.number(d) for d in shape)


def _shape(sizes: Sequence[Poly], axes: Mapping[str, str]) -> str:
    """A shape as a tuple; every axis in it must be one that an input shows."""
    for size in sizes:
        for monomial, _ in size.terms:
            missing = [u for u in monomial if u.partition("/")[0] not in axes]
            if missing:
                raise NoFit(f"No input of the problem has the axis {missing[0]}.")
    said = ", ".join(size.text(axes, "//") for size in sizes)
    return f"({said}{',' if len(sizes) == 1 else ''})"


def _bound(text: str) -> set[str]:
    """The names that Python `text` binds at its top level, imports left out."""
    found: set[str] = set()
    for stmt in ast.parse(text).body:
        if isinstance(stmt, ast.FunctionDef | ast.ClassDef):
            found.add(stmt.name)
        elif isinstance(stmt, ast.Assign | ast.AnnAssign):
            targets = stmt.targets if isinstance(stmt, ast.Assign) else [stmt.target]
            found |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return found


def _without(text: str, name: str) -> str:
    """`text` without its class `name`, which was for the kernel's own problem."""
    lines = text.splitlines()
    for stmt in reversed(ast.parse(text).body):
        if isinstance(stmt, ast.ClassDef) and stmt.name == name:
            start = min([stmt.lineno, *(d.lineno for d in stmt.decorator_list)]) - 1
            del lines[start : stmt.end_lineno]
    return "\n".join(lines)
