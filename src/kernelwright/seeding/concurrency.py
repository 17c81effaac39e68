"""Mistakes between threads: what is shared and should not be, and who does not wait for whom."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from kernelwright.seeding.bug import Bug, bug
from kernelwright.seeding.code import Code
from kernelwright.seeding.loops import around, directive_before, loops, parallel_loop

_GUARDS = ("atomic", "critical")
_CLAUSE = re.compile(r"\s*reduction\([^)]*\)")
_TYPES = ("double", "float", "int64_t", "bool")


def unguarded_update(code: Code) -> Iterator[Bug]:
    """An update of what all threads share that is no longer one step."""
    for index, token in enumerate(code.tokens):
        if token.kind != "directive":
            continue
        for guard in _GUARDS:
            if f"omp {guard}" in token.text:
                what = code.between(index + 1, code.statement_end(index + 1))
                edit = code.remove(index, index)
                said = f"`omp {guard}` was left out before {' '.join(what.split())}"
                yield bug(code, "race", index, said, [edit])
        if _CLAUSE.search(token.text):
            clause = _CLAUSE.findall(token.text)[0].strip()
            edit = code.replace(index, index, _CLAUSE.sub("", token.text))
            yield bug(code, "race", index, f"`{clause}` was left out", [edit])


def shared_local(code: Code) -> Iterator[Bug]:
    """A variable of each iteration that all threads share instead: it is declared outside."""
    found = list(loops(code))
    for index, token in enumerate(code.tokens):
        loop = parallel_loop(code, found, index)
        declared = token.text in _TYPES and code.at(index + 2) == "="
        if loop is None or not declared or code.at(index - 1) == "(":
            continue
        start = code.statement(index)
        directive = directive_before(code, loop.keyword)
        region = _region(code, loop.keyword)
        if directive is None or start not in (index, index - 1):
            continue
        before = directive if "parallel" in code.at(directive) else region
        if before is None:
            continue
        name = code.at(index + 1)
        edits = [code.insert(before, f"{token.text} {name};\n"), code.remove(start, index)]
        yield bug(code, "race", index, f"{name} is declared outside and shared by threads", edits)


def no_wait(code: Code) -> Iterator[Bug]:
    """A shared loop that the threads do not wait for."""
    shared = [
        i
        for i, token in enumerate(code.tokens)
        if token.kind == "directive" and "omp for" in token.text and "nowait" not in token.text
    ]
    found = list(loops(code))
    # Behind the last one the threads wait at the end of the region in any case.
    for index, following in itertools.pairwise(shared):
        if around(found, index) == around(found, following):
            edit = code.replace(index, index, code.at(index) + " nowait")
            said = "threads do not wait for each other after this loop"
            yield bug(code, "missing_sync", index, said, [edit])


def not_shared_out(code: Code) -> Iterator[Bug]:
    """A loop that adds to what is shared, and whose iterations every thread runs."""
    for loop in loops(code):
        index = directive_before(code, loop.keyword)
        inside = [code.at(i) for i in range(*loop.body) if code.tokens[i].kind == "directive"]
        adds = any("omp atomic" in text for text in inside)
        if index is not None and adds and re.search(r"omp for\b", code.at(index)):
            said = "`omp for` was left out, so every thread runs the whole loop"
            yield bug(code, "missing_sync", index, said, [code.remove(index, index)])


def no_barrier(code: Code) -> Iterator[Bug]:
    """A barrier, or a part for one thread at a time, that is gone."""
    for index, token in enumerate(code.tokens):
        for what in ("barrier", "single", "master"):
            if token.kind == "directive" and f"omp {what}" in token.text:
                edit = code.remove(index, index)
                yield bug(code, "missing_sync", index, f"`omp {what}` was left out", [edit])


def _region(code: Code, index: int) -> int | None:
    """The directive that opens the parallel region around token `index`."""
    opened = [
        i
        for i in range(index)
        if code.tokens[i].kind == "directive"
        and re.search(r"omp parallel\s*$", code.at(i))
        and code.partner.get(i + 1, -1) > index
    ]
    return opened[-1] if opened else None
