"""Mistakes in a formula: a term or factor left out, a sign, a constant, a comparison."""

from __future__ import annotations

from collections.abc import Iterator

from kernelwright.seeding.bug import Bug, bug
from kernelwright.seeding.code import Code
from kernelwright.seeding.terms import (
    arguments,
    calls,
    is_binary,
    operand_end,
    term_end,
    value_operators,
)

_SMALL = 1e-3
_SIGNS = {"+": "-", "-": "+", "+=": "-=", "-=": "+="}
_COMPARISONS = {">": (">=", "<"), "<": ("<=", ">"), ">=": (">",), "<=": ("<",), "==": ("!=",)}
_EXTREMES = {"max": "min", "min": "max"}


def dropped_term(code: Code) -> Iterator[Bug]:
    """A term of a sum that is left out."""
    for index in value_operators(code, "+", "-"):
        end = term_end(code, index + 1)
        if end is not None and is_binary(code, index):
            said = f"`{code.between(index, end)}` was left out"
            yield bug(code, "dropped_term", index, said, [code.remove(index, end)])


def missing_scale(code: Code) -> Iterator[Bug]:
    """A factor or divisor that is left out."""
    for index in value_operators(code, "*", "/"):
        end = operand_end(code, index + 1)
        if end is not None and is_binary(code, index):
            said = f"`{code.between(index, end)}` was left out"
            yield bug(code, "missing_scale", index, said, [code.remove(index, end)])


def wrong_sign(code: Code) -> Iterator[Bug]:
    """Plus for minus, minus for plus."""
    for index in value_operators(code, *_SIGNS):
        mark = code.at(index)
        if mark in ("+=", "-=") or is_binary(code, index):
            edit = code.replace(index, index, _SIGNS[mark])
            said = f"`{mark}` became `{_SIGNS[mark]}`"
            yield bug(code, "wrong_sign", index, said, [edit])
        elif mark == "-" and code.at(index + 1) != "INFINITY":
            said = f"the minus before {code.at(index + 1)} was left out"
            yield bug(code, "wrong_sign", index, said, [code.remove(index, index)])


def wrong_epsilon(code: Code) -> Iterator[Bug]:
    """A small constant that is a hundred times too large or small, ten times too large, or zero."""
    for index, token in enumerate(code.tokens):
        value = _number(token.text) if token.kind == "number" else None
        if value is None or not 0 < value < _SMALL:
            continue
        for new in (f"{value * 100:g}", f"{value * 10:g}", f"{value / 100:g}", "0.0"):
            edit = code.replace(index, index, new)
            said = f"{token.text} became {new}"
            yield bug(code, "wrong_epsilon", index, said, [edit])


def integer_division(code: Code) -> Iterator[Bug]:
    """A value that is cut to an integer before it is divided."""
    for index in value_operators(code, "/"):
        name = index - 1
        if code.tokens[name].kind == "name" and code.at(name - 1) not in ("*", "/", "::", "."):
            said = f"{code.at(name)} is cut to an integer before the division"
            edit = code.insert(name, "(int64_t)")
            yield bug(code, "integer_division", index, said, [edit])
    for index, token in enumerate(code.tokens):
        if token.kind == "number" and token.text.rstrip("f") == "0.5":
            edit = code.replace(index, index, "(1 / 2)")
            yield bug(code, "integer_division", index, f"{token.text} became (1 / 2)", [edit])


def wrong_comparison(code: Code) -> Iterator[Bug]:
    """A condition with another comparison, which ties or signs tell apart."""
    for keyword in code.indices("if"):
        closed = code.partner.get(keyword + 1, keyword)
        for index in range(keyword + 2, closed):
            for new in _COMPARISONS.get(code.at(index), ()):
                said = f"`{code.at(index)}` became `{new}` in {code.between(keyword + 1, closed)}"
                edit = code.replace(index, index, new)
                yield bug(code, "wrong_comparison", index, said, [edit])


def max_min_swapped(code: Code) -> Iterator[Bug]:
    """The larger for the smaller, or the other way round."""
    for call in calls(code, "max", "min"):
        name = next(i for i in range(call.first, call.last) if code.at(i) in _EXTREMES)
        new = _EXTREMES[code.at(name)]
        said = f"{code.between(call.first, call.last)} became {new}"
        yield bug(code, "max_min_swapped", name, said, [code.replace(name, name, new)])


def missing_clamp(code: Code) -> Iterator[Bug]:
    """A value that is no longer held above or below a limit."""
    integers = set(range(len(code.tokens)))
    integers -= set(value_operators(code, "("))
    for call in calls(code, "max", "min"):
        taken = arguments(code, call)
        target = code.between(code.statement(call.first), call.first).partition("=")[0].strip()
        said_all = [code.between(*argument) for argument in taken]
        if len(taken) != 2 or target in said_all or code.partner[call.last] in integers:
            continue
        edit = code.replace(call.first, call.last, f"({said_all[0]})")
        said = f"{code.between(call.first, call.last)} became {said_all[0]}"
        yield bug(code, "missing_clamp", call.first, said, [edit])


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("fF"))
    except ValueError:
        return None
