"""The counted loops of a kernel: ``for (int64_t i = first; i < bound; step) { ... }``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kernelwright.seeding.code import Code


@dataclass(frozen=True, kw_only=True)
class Loop:
    """One loop; every field but `variable` is a token index, spans have both ends in them."""

    variable: str
    keyword: int
    initial: tuple[int, int]
    comparison: int
    bound: tuple[int, int]
    step: tuple[int, int]
    body: tuple[int, int]


def loops(code: Code) -> Iterator[Loop]:
    """Every counted loop with a body in braces, in the order of the text."""
    for keyword in code.indices("for"):
        opened = keyword + 1
        closed = code.partner.get(opened)
        if code.at(opened) != "(" or closed is None or code.at(closed + 1) != "{":
            continue
        semicolons = [i for i in range(opened, closed) if code.at(i) == ";"]
        assigned = next((i for i in range(opened, closed) if code.at(i) == "="), None)
        if len(semicolons) != 2 or assigned is None or closed + 1 not in code.partner:
            continue
        first, second = semicolons
        if code.at(first + 1) != code.at(assigned - 1) or code.at(first + 2) not in ("<", "<="):
            continue
        yield Loop(
            variable=code.at(assigned - 1),
            keyword=keyword,
            initial=(assigned + 1, first - 1),
            comparison=first + 2,
            bound=(first + 3, second - 1),
            step=(second + 1, closed - 1),
            body=(closed + 1, code.partner[closed + 1]),
        )


def around(found: list[Loop], index: int) -> list[Loop]:
    """The loops whose bodies hold token `index`, the outermost first."""
    return [loop for loop in found if loop.body[0] < index < loop.body[1]]


def directive_before(code: Code, index: int) -> int | None:
    """The preprocessor line right in front of token `index`, if there is one."""
    before = index - 1
    return before if before >= 0 and code.tokens[before].kind == "directive" else None


def parallel_loop(code: Code, found: list[Loop], index: int) -> Loop | None:
    """The loop around token `index` whose iterations threads share, if there is one."""
    for loop in around(found, index):
        before = directive_before(code, loop.keyword)
        if before is not None and " for" in code.at(before):
            return loop
    return None


def sizes(code: Code) -> list[str]:
    """The sizes that the kernel is called with, in order: its ``int64_t`` parameters."""
    opened, closed = _parameters(code)
    return [
        code.at(i + 1)
        for i in range(opened, closed)
        if code.at(i) == "int64_t" and code.tokens[i + 1].kind == "name"
    ]


def pointers(code: Code) -> list[str]:
    """The tensors that the kernel is called with, in order: its pointer parameters."""
    opened, closed = _parameters(code)
    return [code.at(i + 1) for i in range(opened, closed) if code.at(i) == "*"]


def _parameters(code: Code) -> tuple[int, int]:
    """The brackets around the kernel's parameters; an empty span when there is no kernel."""
    opened = next((i + 1 for i in code.indices("kernel") if code.at(i + 1) == "("), 0)
    return opened, code.partner.get(opened, opened)
