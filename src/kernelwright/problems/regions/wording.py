"""Nodes of an outline as lines of Python, with sizes as expressions of their axes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Extent, Node, Ref, Special, Unexplained
from kernelwright.core.problem import DType

_OPERATOR = re.compile(r"[A-Za-z_]\w*(\.\w+){2}")
# A kernel's outputs are contiguous, and what they stand for need not have been.
_ANY_STRIDES = {
    "aten.view.default": "aten.reshape.default",
    "aten._unsafe_view.default": "aten.reshape.default",
}
_OF_STRIDES = frozenset({"aten.as_strided.default", "aten.view.dtype"})
_OTHER_DTYPE = re.compile(r"torch\.\w+")
_DTYPES = frozenset(get_args(DType))


def statement(node: Node, names: Mapping[str, str]) -> str:
    """`node` as one assignment. `names` are what values, and axes, are called.

    Raises:
        ProblemError: an argument is one that cannot be written down.

    >>> node = Node(name="y", op="aten.mul.Tensor", args=(Ref(ref="x"), 2.0))
    >>> statement(node, {"x": "x", "y": "y"})
    'y = torch.ops.aten.mul.Tensor(x, 2.0)'
    """
    if node.op == "getitem":
        return f"{names[node.name]} = {written(node.args[0], names)}[{node.args[1]}]"
    op = _ANY_STRIDES.get(node.op, node.op)
    if not _OPERATOR.fullmatch(op) or op in _OF_STRIDES:
        raise ProblemError(f"{node.op} depends on more than the elements of what it is given.")
    named = dict(node.kwargs)
    if node.op == "aten.full.default" and node.dtype:
        named.setdefault("dtype", node.dtype)
    given = [written(argument, names) for argument in node.args]
    given += [f"{name}={written(value, names)}" for name, value in named.items()]
    return f"{names[node.name]} = torch.ops.{op}({', '.join(given)})"


def written(argument: Any, names: Mapping[str, str]) -> str:
    """An argument as an expression.

    Raises:
        ProblemError: it changes with the sizes, and nobody knows how.
    """
    match argument:
        case Ref(ref=name):
            return names[name]
        case Extent():
            return size_written(argument, names)
        case Special(special=word):
            return f'float("{word}")'
        case Unexplained():
            raise ProblemError("A number in it changes with the sizes in a way that has no name.")
        case tuple() | list():
            return f"[{', '.join(written(each, names) for each in argument)}]"
        case str() if argument in _DTYPES:
            return f"torch.{argument}"
        case str() if _OTHER_DTYPE.fullmatch(argument):
            return argument
    return repr(argument)


def size_written(size: int | Extent | Unexplained, names: Mapping[str, str]) -> str:
    """A size, or a number that follows from sizes, as an expression of the axes' names.

    >>> size_written(Extent(axes=("dim",), numerator=3), {"dim": "dim"})
    '3 * dim'
    >>> size_written(Extent(axes=("dim",), denominator=2, power=-0.5), {"dim": "dim"})
    '(dim // 2) ** -0.5'
    """
    if isinstance(size, Unexplained):
        raise ProblemError("A size in it changes with the others in a way that has no name.")
    if isinstance(size, int):
        return str(size)
    factors = [names[axis] for axis in size.axes]
    if size.numerator != 1:
        factors.insert(0, str(size.numerator))
    said = " * ".join(factors)
    divisors = [names[axis] for axis in size.over]
    if size.denominator != 1:
        divisors.insert(0, str(size.denominator))
    if divisors:
        below = divisors[0] if len(divisors) == 1 else f"({' * '.join(divisors)})"
        said = f"({said}) // {below}" if len(factors) > 1 else f"{said} // {below}"
    if size.offset:
        said = f"{said} {'+' if size.offset > 0 else '-'} {abs(size.offset)}"
    if size.power == 1.0:
        return said
    exact = said if " " not in said else f"({said})"
    return f"{exact} ** {size.power}"


def axes_in(arguments: Iterable[Any]) -> Iterator[str]:
    """The axes that sizes in `arguments` follow from."""
    for argument in arguments:
        if isinstance(argument, Extent):
            yield from (*argument.axes, *argument.over)
        elif isinstance(argument, tuple | list):
            yield from axes_in(argument)


def axes_of(node: Node) -> list[str]:
    """The axes that a node's arguments follow from, each once."""
    return list(dict.fromkeys(axes_in((*node.args, *node.kwargs.values()))))
