"""Pieces of expressions: operands, calls, indices, and what is a value rather than an index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kernelwright.seeding.code import Code
from kernelwright.seeding.loops import loops

# A name in front of an operator that is no operand, so that the operator has one operand or is
# part of a type.
_NO_OPERANDS = frozenset(
    {"return", "else", "const", "case", "new", "float", "double", "char", "void"}
)
_INTEGERS = frozenset({"int64_t", "int32_t", "int", "vector"})


@dataclass(frozen=True)
class Span:
    """Tokens from `first` to `last`, both included."""

    first: int
    last: int


def calls(code: Code, *names: str) -> Iterator[Span]:
    """The calls of these functions of ``std``, each from ``std`` to its closing bracket."""
    for index, token in enumerate(code.tokens):
        opened = index + 1
        if token.kind == "name" and token.text in names and code.at(opened) == "(":
            first = index - 2 if code.at(index - 1) == "::" else index
            if opened in code.partner:
                yield Span(first, code.partner[opened])


def arguments(code: Code, call: Span) -> list[tuple[int, int]]:
    """The spans of the arguments of `call`."""
    found, start = [], code.partner[call.last] + 1
    index = start
    while index <= call.last:
        if code.at(index) == "," or index == call.last:
            found.append((start, index - 1))
            start = index + 1
        index = code.partner[index] + 1 if code.at(index) in ("(", "[") else index + 1
    return [span for span in found if span[0] <= span[1]]


def index_expressions(code: Code) -> Iterator[Span]:
    """What stands between the brackets of each element access."""
    for index in code.indices("["):
        closed = code.partner.get(index)
        if closed is not None and closed > index + 1 and code.tokens[index - 1].kind == "name":
            yield Span(index + 1, closed - 1)


def operand_end(code: Code, first: int) -> int | None:
    """The last token of the operand that starts at `first`: a name, number, call or bracket."""
    index = first
    while code.at(index) in ("-", "+"):
        index += 1
    if code.at(index) == "(" and index in code.partner:
        index = code.partner[index]
        # A cast belongs to what it is a cast of.
        if code.tokens[index + 1].kind in ("name", "number"):
            return operand_end(code, index + 1)
        return index
    if code.tokens[index].kind not in ("name", "number"):
        return None
    while code.at(index + 1) in ("::", ".", "->"):
        index += 2
    while code.at(index + 1) in ("(", "[") and index + 1 in code.partner:
        index = code.partner[index + 1]
    return index


def term_end(code: Code, first: int) -> int | None:
    """The last token of the product of operands that starts at `first`."""
    end = operand_end(code, first)
    while end is not None and code.at(end + 1) in ("*", "/"):
        end = operand_end(code, end + 2)
    return end


def is_binary(code: Code, index: int) -> bool:
    """Whether the operator at `index` stands between two operands."""
    before = code.tokens[index - 1] if index else None
    if before is None or before.text in _NO_OPERANDS:
        return False
    if before.text == ")":
        opened = code.partner.get(index - 1, index - 1)
        # ``(double)-x``: a cast, and no operand.
        return code.between(opened, index - 1) not in ("(double)", "(float)")
    return before.kind in ("name", "number") or before.text == "]"


def value_operators(code: Code, *marks: str) -> Iterator[int]:
    """The operators that read one of `marks` and work on values: not on indices, sizes or loops."""
    headers = [(loop.keyword, loop.body[0]) for loop in loops(code)]
    inside = [(span.first, span.last) for span in index_expressions(code)]
    body = code.indices("{")[:1]
    for index, token in enumerate(code.tokens):
        if token.kind != "mark" or token.text not in marks or not body or index < body[0]:
            continue
        hidden = any(a <= index <= b for a, b in [*headers, *inside])
        if not hidden and not _is_of_integers(code, index):
            yield index


def _is_of_integers(code: Code, index: int) -> bool:
    start = code.statement(index)
    head = {code.at(i) for i in range(start, min(start + 4, len(code.tokens)))}
    return bool(head & _INTEGERS)
