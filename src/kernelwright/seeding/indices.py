"""Mistakes in where an element is: strides, shifts, broadcasts, and integers that are too short."""

from __future__ import annotations

from collections.abc import Iterator

from kernelwright.seeding.bug import Bug, bug
from kernelwright.seeding.code import Code
from kernelwright.seeding.loops import around, loops, pointers, sizes
from kernelwright.seeding.terms import Span, index_expressions


def swapped_strides(code: Code) -> Iterator[Bug]:
    """``row * dim + i`` becomes ``i * dim + row``."""
    for span in _places(code):
        last, plus = span.last, span.last - 1
        if code.at(plus) != "+" or code.at(plus - 2) != "*":
            continue
        outer = plus - 3
        if code.tokens[outer].kind == "name" and code.tokens[last].kind == "name":
            edits = [
                code.replace(outer, outer, code.at(last)),
                code.replace(last, last, code.at(outer)),
            ]
            said = f"{code.at(outer)} and {code.at(last)} changed places in {_said(code, span)}"
            yield bug(code, "swapped_strides", outer, said, edits)


def wrong_stride(code: Code) -> Iterator[Bug]:
    """A stride that is another axis's extent."""
    known = sizes(code)
    for span in _places(code):
        for index in range(span.first, span.last):
            stride = index + 1
            if code.at(index) != "*" or code.at(stride) not in known:
                continue
            for other in known:
                if other != code.at(stride):
                    said = f"a stride of {code.at(stride)} became {other} in {_said(code, span)}"
                    edit = code.replace(stride, stride, other)
                    yield bug(code, "swapped_strides", stride, said, [edit])


def index_shifted(code: Code) -> Iterator[Bug]:
    """An element next to the right one."""
    for span in index_expressions(code):
        for shift in ("+ 1", "- 1"):
            edit = code.replace(span.last, span.last, f"{code.at(span.last)} {shift}")
            said = f"the index {_said(code, span)} became {_said(code, span)} {shift}"
            yield bug(code, "index_shifted", span.first, said, [edit])


def wrong_broadcast(code: Code) -> Iterator[Bug]:
    """A vector along one axis that is read along another."""
    found = list(loops(code))
    for span in index_expressions(code):
        name = code.at(span.first)
        running = {loop.variable for loop in around(found, span.first)}
        if span.first != span.last or name not in running:
            continue
        for other in (*sorted(running - {name}), "0"):
            said = f"{code.at(span.first - 2)}[{name}] became {code.at(span.first - 2)}[{other}]"
            edit = code.replace(span.first, span.last, other)
            yield bug(code, "wrong_broadcast", span.first, said, [edit])


def wrong_dimension(code: Code) -> Iterator[Bug]:
    """One loop's variable in the place of another's, in an index of several."""
    found = list(loops(code))
    for span in index_expressions(code):
        if span.first == span.last:
            continue
        running = [loop.variable for loop in around(found, span.first)]
        for index in range(span.first, span.last + 1):
            for other in running:
                if code.at(index) in running and other != code.at(index):
                    said = f"{code.at(index)} became {other} in {_said(code, span)}"
                    edit = code.replace(index, index, other)
                    yield bug(code, "wrong_axis", index, said, [edit])


def index_overflow(code: Code) -> Iterator[Bug]:
    """An index that is computed in 16 bits, which overflows where 32 bits do at larger sizes."""
    yield from _narrowed(code, "index_overflow", "int16_t")


def index_overflow_32(code: Code) -> Iterator[Bug]:
    """An index that is computed in 32 bits, as is often written."""
    yield from _narrowed(code, "index_overflow_32", "int32_t")


def temporary_reused(code: Code) -> Iterator[Bug]:
    """A scratch buffer that is indexed along its last axis alone, so that rows share its memory."""
    for index in code.indices("vector"):
        closed = index + 3
        name = code.at(closed + 1)
        places = [s for s in index_expressions(code) if code.at(s.first - 2) == name]
        if not places or any(code.at(s.last - 1) != "+" for s in places):
            continue
        edits = [code.replace(s.first, s.last, code.at(s.last)) for s in places]
        said = f"{name} is indexed by its last axis alone"
        yield bug(code, "temporary_reused", index, said, edits)


def _narrowed(code: Code, kind: str, narrow: str) -> Iterator[Bug]:
    tensors = pointers(code)
    direct = [s for s in index_expressions(code) if code.at(s.first - 2) in tensors]
    bare = {code.at(s.first) for s in direct if s.first == s.last}
    declared = {
        Span(index + 3, code.statement_end(index) - 1): index
        for index in code.indices("int64_t")
        if code.at(index + 1) in bare and code.at(index + 2) == "="
    }
    places = [*direct, *declared]
    # The longest products index the largest tensors, which overflow first.
    most = max((_products(code, span) for span in places), default=0)
    for span in places:
        if most == 0 or _products(code, span) < most:
            continue
        edits = [
            code.insert(span.first, f"static_cast<{narrow}>("),
            code.insert(span.last + 1, ")"),
        ]
        said = f"{_said(code, span)} is cut to {narrow}"
        if span in declared:
            index = declared[span]
            edits = [code.replace(index, index, narrow)]
            said = f"{code.at(index + 1)} = {_said(code, span)} is of type {narrow}"
        yield bug(code, kind, span.first, said, edits)


def _products(code: Code, span: Span) -> int:
    """How many multiplications `span` has; none unless one is by one of the kernel's sizes."""
    known = sizes(code)
    factors = [code.at(i + 1) for i in range(span.first, span.last) if code.at(i) == "*"]
    return len(factors) if any(factor in known for factor in factors) else 0


def _places(code: Code) -> Iterator[Span]:
    """Index expressions, and the initial values of integers that are used as such."""
    yield from index_expressions(code)
    for index in code.indices("int64_t"):
        if code.at(index + 2) == "=" and code.at(index - 1) != "(":
            yield Span(index + 3, code.statement_end(index) - 1)


def _said(code: Code, span: Span) -> str:
    return code.between(span.first, span.last)
