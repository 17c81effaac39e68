"""Mistakes with what is gathered in a loop: its type, where it starts, whether it starts at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kernelwright.seeding.bug import Bug, bug
from kernelwright.seeding.code import Code

_FLOATS = ("double", "float")
_INFINITIES = ("INFINITY", "-INFINITY")


@dataclass(frozen=True)
class _Variable:
    """``type name = initial;``: the indices of the type, the name and the semicolon."""

    kind: int
    name: int
    end: int


def accumulate_type(code: Code) -> Iterator[Bug]:
    """A sum in a narrower type: half precision, whole numbers, rounded to bfloat16 at each step;
    in float where sums cancel."""
    narrow = ["float16", "int"]
    if _cancels(code):
        narrow.append("float")
    for variable in _sums(code):
        name, old = code.at(variable.name), code.at(variable.kind)
        for new in narrow:
            if new != old:
                edit = code.replace(variable.kind, variable.kind, new)
                said = f"{name} is gathered in {new}, not in {old}"
                yield bug(code, "accumulate_type", variable.kind, said, [edit])
        yield _rounded(code, variable)


def extreme_starts_at_zero(code: Code) -> Iterator[Bug]:
    """A maximum that starts at zero, or at the smallest positive number."""
    for index in code.indices("INFINITY"):
        first = index - 1 if code.at(index - 1) == "-" else index
        if code.at(first - 1) not in ("=", ","):
            continue
        for new in ("0.0f", "FLT_MIN"):
            said = f"{code.between(first, index)} became {new}"
            edit = code.replace(first, index, new)
            yield bug(code, "unguarded_max", index, said, [edit])


def extreme_unused(code: Code) -> Iterator[Bug]:
    """Exponentials of values from which the maximum is not subtracted: it stays at zero."""
    for index in code.indices("INFINITY"):
        name = code.at(index - 3)
        if code.at(index - 1) != "-" or code.at(index - 2) != "=" or "exp" not in code.text:
            continue
        updates = [
            i
            for i in code.indices(name)
            if code.statement(i) == i and code.at(i + 1) == "=" and i > index
        ]
        edits = [code.replace(index - 1, index, "0.0f")]
        edits += [code.remove(i, code.statement_end(i)) for i in updates]
        if updates:
            said = f"{name} stays at zero, so exponentials are of raw values"
            yield bug(code, "unguarded_max", index, said, edits)


def uninitialised(code: Code) -> Iterator[Bug]:
    """A sum that starts with whatever is there."""
    for variable in _sums(code):
        edit = code.remove(variable.name + 1, variable.end - 1)
        said = f"{code.at(variable.name)} has no first value"
        yield bug(code, "uninitialised", variable.name, said, [edit])
    for index in code.indices("vector"):
        kind, name, opened = index + 2, index + 4, index + 5
        closed = code.partner.get(opened)
        inner = code.between(opened + 1, (closed or opened) - 1)
        if closed is None or not inner.endswith(", 0.0"):
            continue
        size, array = inner.removesuffix(", 0.0"), code.at(name)
        new = f"{code.at(kind)}* {array} = new {code.at(kind)}[{size}]"
        edit = code.replace(code.statement(index), closed, new)
        yield bug(code, "uninitialised", name, f"{array} is not set to zero", [edit])


def not_reset(code: Code) -> Iterator[Bug]:
    """A sum that goes on from where the row, or whatever came before, left it."""
    for variable in _sums(code):
        name = code.at(variable.name)
        edit = code.insert(variable.kind, "static thread_local ")
        said = f"{name} goes on from where it was left"
        yield bug(code, "stale_variable", variable.name, said, [edit])


def _sums(code: Code) -> Iterator[_Variable]:
    """Floating variables that start from a number and are added to."""
    for kind, token in enumerate(code.tokens):
        name = kind + 1
        if token.text not in _FLOATS or code.at(name + 1) != "=":
            continue
        end = code.statement_end(kind)
        added = any(code.at(i + 1) in ("+=", "-=") for i in code.indices(code.at(name)))
        if added and code.at(kind - 1) != "const" and code.statement(kind) == kind:
            yield _Variable(kind, name, end)


def _rounded(code: Code, variable: _Variable) -> Bug:
    """The bug that rounds `variable` to bfloat16 whenever it is added to."""
    name, edits = code.at(variable.name), []
    for index in code.indices(name):
        if code.at(index + 1) == "+=":
            end = code.statement_end(index)
            added = code.between(index + 2, end - 1)
            new = f"{name} = (float)bfloat16((float)({name} + ({added})))"
            edits.append(code.replace(index, end - 1, new))
    said = f"{name} is rounded to bfloat16 at each step"
    return bug(code, "accumulate_type", variable.kind, said, edits)


def _cancels(code: Code) -> bool:
    """Whether a square of a sum is subtracted, so that float would lose what matters."""
    return "- mean * mean" in code.text
