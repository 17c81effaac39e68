"""Mistakes in what runs at all, and on which variable."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from kernelwright.seeding.bug import Bug, bug
from kernelwright.seeding.code import Code
from kernelwright.seeding.loops import around, loops, sizes
from kernelwright.seeding.terms import index_expressions

_FLOATS = ("double", "float")


def early_return(code: Code) -> Iterator[Bug]:
    """A kernel that takes a small size for nothing to do."""
    body = next((i for i in code.indices("{")), None)
    if body is None:
        return
    for size in sizes(code):
        edit = code.replace(body, body, f"{{\n    if ({size} <= 1) return;")
        yield bug(code, "early_return", body, f"it returns when {size} is 1", [edit])


def leaves_loop(code: Code) -> Iterator[Bug]:
    """A loop inside another that ends before its last iteration when there are many."""
    found = list(loops(code))
    for loop in found:
        bound = code.between(*loop.bound)
        if around(found, loop.keyword) and bound in sizes(code):
            condition = f"if ({loop.variable} >= 32) break;"
            edit = code.replace(loop.body[0], loop.body[0], f"{{\n{condition}")
            said = f"the loop over {loop.variable} ends after 32"
            yield bug(code, "early_return", loop.keyword, said, [edit])


def stale_variable(code: Code) -> Iterator[Bug]:
    """A use of one local in the place of another that was declared before it."""
    declared = [
        (index + 1, code.at(index + 1))
        for index, token in enumerate(code.tokens)
        if token.text in _FLOATS and code.at(index + 2) == "="
    ]
    found = list(loops(code))
    places = [(span.first, span.last) for span in index_expressions(code)]
    for (before, old), (at, name) in itertools.pairwise(declared):
        scope = around(found, before)
        for index in code.indices(name):
            used = index > at + 1 and code.at(index + 1) not in ("=", "+=", "-=")
            visible = scope == around(found, index)[: len(scope)] and old != name
            if used and visible and not any(a <= index <= b for a, b in places):
                edit = code.replace(index, index, old)
                said = f"{old} is used in the place of {name}"
                yield bug(code, "stale_variable", index, said, [edit])
