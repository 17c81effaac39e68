"""What a problem is about, in words that others can be found by. Nothing of it is traced."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from kernelwright.core.problem import Problem
from kernelwright.generate.prompting import shape

# What makes inputs, weights or views, or belongs to how a module is written.
_PLUMBING = frozenset(
    {
        "__init__", "arange", "contiguous", "device", "empty", "float", "full", "linspace",
        "manual_seed", "ones", "parameter", "permute", "rand", "randint", "randn",
        "register_buffer", "reshape", "size", "squeeze", "super", "tensor", "to", "transpose",
        "unsqueeze", "view", "zeros",
    }
)  # fmt: skip
_GIVEN = ("get_inputs", "get_init_inputs")
_OPERATORS: dict[type[ast.operator], str] = {ast.MatMult: "matmul", ast.Pow: "pow"}


def features(problem: Problem) -> str:
    """The title, what the reference calls, and the tensors at the size that is timed."""
    axes = problem.report_workload.axes
    tensors = [
        f"{spec.name} {spec.dtype} {shape(spec)} = {list(spec.sizes(axes))}"
        for spec in (*problem.inputs, *problem.outputs)
        if spec.role != "scalar"
    ]
    called = ", ".join(dict.fromkeys(operations(problem.reference.text)))
    direction = problem.direction.replace("_", " and ")
    title = " ".join(problem.title.split())
    return f"{title} ({direction}). It calls: {called}. Tensors: {'; '.join(tensors)}."


def words(problem: Problem) -> str:
    """What a query for other problems like this one asks for: words without sentences around."""
    types = dict.fromkeys(spec.dtype for spec in (*problem.inputs, *problem.outputs))
    direction = "" if problem.direction == "forward" else problem.direction
    return " ".join([problem.title, direction, *operations(problem.reference.text), *types])


def operations(text: str) -> tuple[str, ...]:
    """The names of what a reference calls, in lower case and in the order of its text; none for one
    that is no Python.

    >>> operations("def f(x, w):\\n    return F.layer_norm(x @ w, (8,))")
    ('layer_norm', 'matmul')
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ()
    body = [part for part in tree.body if getattr(part, "name", None) not in _GIVEN]
    return tuple(name for part in body for name in _called(part) if name not in _PLUMBING)


def _called(part: ast.stmt) -> Iterator[str]:
    for node in ast.walk(part):
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            yield _OPERATORS[type(node.op)]
        elif isinstance(node, ast.Call):
            match node.func:
                case ast.Attribute(attr=name) if not _own(node.func):
                    yield name.lower()
                case ast.Name(id=name):
                    yield name.lower()


def _own(called: ast.Attribute) -> bool:
    """Whether it is a part of the module itself, whose name its author chose."""
    return isinstance(called.value, ast.Name) and called.value.id == "self"
