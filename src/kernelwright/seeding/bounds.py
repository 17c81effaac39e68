"""Mistakes in where a loop begins and ends: off by one, no tail, another axis's extent."""

from __future__ import annotations

from collections.abc import Iterator

from kernelwright.seeding.bug import Bug, bug
from kernelwright.seeding.code import Code
from kernelwright.seeding.loops import Loop, loops, sizes
from kernelwright.seeding.terms import arguments, calls

_WIDTH = 8


def off_by_one(code: Code) -> Iterator[Bug]:
    """A loop that stops one early, runs one too far, or leaves the first one out."""
    for loop in loops(code):
        bound, name = code.between(*loop.bound), loop.variable
        last = loop.bound[1]
        if code.at(loop.comparison) == "<":
            edit = code.replace(loop.comparison, loop.comparison, "<=")
            said = f"{name} < {bound} became {name} <= {bound}"
            yield bug(code, "off_by_one", loop.keyword, said, [edit])
        edit = code.replace(last, last, f"{code.at(last)} - 1")
        said = f"the bound of {name}, {bound}, became {bound} - 1"
        yield bug(code, "off_by_one", loop.keyword, said, [edit])
        if code.between(*loop.initial) == "0":
            edit = code.replace(*loop.initial, "1")
            yield bug(code, "off_by_one", loop.keyword, f"{name} starts at 1, not at 0", [edit])


def missing_tail(code: Code) -> Iterator[Bug]:
    """A loop in whole vectors that leaves the rest out or runs past it, or an unmasked tile."""
    for loop in loops(code):
        if _is_innermost(code, loop) and code.between(*loop.step) == f"{loop.variable}++":
            bound = code.between(*loop.bound)
            for new, said in (
                (f"({bound}) / {_WIDTH} * {_WIDTH}", "leaves the rest out"),
                (f"({bound} + {_WIDTH - 1}) / {_WIDTH} * {_WIDTH}", "runs past the end"),
            ):
                said = f"{loop.variable} goes in whole vectors of {_WIDTH} and {said}"
                edit = code.replace(*loop.bound, new)
                yield bug(code, "missing_tail", loop.keyword, said, [edit])
    for call in calls(code, "min"):
        taken = arguments(code, call)
        if "int64_t" in _head(code, call.first) and len(taken) == 2:
            edit = code.replace(call.first, call.last, f"({code.between(*taken[0])})")
            said = f"a tile is no longer cut off at {code.between(*taken[1])}"
            yield bug(code, "missing_tail", call.first, said, [edit])


def wrong_extent(code: Code) -> Iterator[Bug]:
    """A loop over one axis that runs to another's extent."""
    known = sizes(code)
    for loop in loops(code):
        bound = code.between(*loop.bound)
        for other in known:
            if bound in known and other != bound:
                edit = code.replace(*loop.bound, other)
                said = f"{loop.variable} runs to {other}, not to {bound}"
                yield bug(code, "wrong_axis", loop.keyword, said, [edit])


def swapped_extents(code: Code) -> Iterator[Bug]:
    """Two loops, one in the other, that run to each other's extents."""
    found = list(loops(code))
    for outer, inner in ((a, b) for a in found for b in found if a.body[0] < b.keyword < a.body[1]):
        one, other = code.between(*outer.bound), code.between(*inner.bound)
        if one != other and {one, other} <= set(sizes(code)):
            edits = [code.replace(*outer.bound, other), code.replace(*inner.bound, one)]
            said = f"{outer.variable} and {inner.variable} run to each other's extents"
            yield bug(code, "wrong_axis", outer.keyword, said, edits)


def _is_innermost(code: Code, loop: Loop) -> bool:
    return not any(code.at(i) == "for" for i in range(loop.body[0], loop.body[1]))


def _head(code: Code, index: int) -> str:
    return code.between(code.statement(index), index)
