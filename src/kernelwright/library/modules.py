"""A kernel that is a Python module, put to another problem: the problem's own model calls it."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from kernelwright.core.problem import Problem
from kernelwright.knowledge.sketches.poly import Poly, axes_of
from kernelwright.library.matching import Fit, NoFit, shape_of

RUN, MODEL = "run", "ModelNew"


def joined_module(found: Fit, problem: Problem, text: str) -> str:
    """The problem's own model over the function `run` of a kernel's `text`.

    Raises:
        NoFit: a name means one thing in the kernel and another in the reference, or a size is one
            that no input of the problem has.
    """
    reference = problem.reference.text.strip()
    own = _needed(text)
    shared = _bound(reference) & _bound(own)
    if shared:
        raise NoFit(f"Its text and the reference both define {', '.join(sorted(shared))}.")
    model = [f"class {MODEL}({problem.reference.name}):", *_CONSTRUCTOR, *_forward(found, problem)]
    joined = [reference, "import operator\n\nimport torch", own.strip(), "\n".join(model)]
    return "\n\n\n".join(joined) + "\n"


def _forward(found: Fit, problem: Problem) -> list[str]:
    """The method that calls the kernel, on tensors in the shapes that it takes."""
    what = found.kernel.about.computes
    local = {s.name: f"t{n}" for n, s in enumerate(problem.inputs)}
    local |= {s.name: f"out{n}" for n, s in enumerate(problem.outputs)}
    theirs = {own: local[name] for own, name in {**found.tensors, **found.outputs}.items()}
    axes, lines = _axes(problem, local)
    weights = [local[s.name] for s in problem.inputs if s.role == "weight"]
    if weights:
        lines.insert(0, f"{', '.join(weights)}, = [get(self) for get in self.kw_weights]")
    arguments = []
    for spec in what.inputs:
        argument = theirs[spec.name]
        if spec.role != "scalar":
            argument += f".reshape({_shape(shape_of(spec, found.sizes), axes)}).contiguous()"
        arguments.append(argument)
    results = [theirs[spec.name] for spec in what.written]
    returned = [
        f"{local[s.name]}.reshape({_shape(_sizes_of(s.shape), axes)})" for s in problem.outputs
    ]
    given = [local[s.name] for s in problem.inputs if s.role != "weight"]
    return [
        f"    def forward(self, {', '.join(given)}):",
        *(f"        {line}" for line in lines),
        f"        {', '.join(results)} = {RUN}({', '.join(arguments)})",
        f"        return {', '.join(returned)}",
    ]


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
            missing = [a for u in monomial for a in axes_of(u) if a not in axes]
            if missing:
                raise NoFit(f"No input of the problem has the axis {missing[0]}.")
    said = ", ".join(size.text(axes, "//") for size in sizes)
    return f"({said}{',' if len(sizes) == 1 else ''})"


def _needed(text: str) -> str:
    """`text` with nothing at its top level but imports and what `run` uses: a kernel's own model,
    and the program that it was written for, stay behind."""
    body = ast.parse(text).body
    wanted, before = {RUN}, set[str]()
    while wanted != before:
        before = set(wanted)
        for stmt in body:
            if _names(stmt) & wanted:
                wanted |= {n.id for n in ast.walk(stmt) if isinstance(n, ast.Name)}
    lines = text.splitlines()
    for stmt in reversed(body):
        if isinstance(stmt, ast.Import | ast.ImportFrom):
            kept = getattr(stmt, "module", None) != "__future__"
        else:
            kept = bool(_names(stmt) & wanted)
        if not kept:
            decorators = getattr(stmt, "decorator_list", [])
            start = min([stmt.lineno, *(d.lineno for d in decorators)]) - 1
            del lines[start : stmt.end_lineno]
    return "\n".join(lines)


def _bound(text: str) -> set[str]:
    """The names that Python `text` binds at its top level, imports left out."""
    return {name for stmt in ast.parse(text).body for name in _names(stmt)}


def _names(stmt: ast.stmt) -> set[str]:
    """The names that a statement at the top level binds, if it is no import."""
    if isinstance(stmt, ast.FunctionDef | ast.ClassDef):
        return {stmt.name}
    if isinstance(stmt, ast.Assign | ast.AnnAssign):
        targets = stmt.targets if isinstance(stmt, ast.Assign) else [stmt.target]
        return {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return set()
