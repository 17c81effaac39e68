"""The loops of a generated C++ kernel: which of them become vector code, and on how many threads.

Inductor was asked for loops over single elements, since its own vector code needs torch's headers.
The innermost ones say here what a compiler must know to make vectors of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_FOR = re.compile(r"^\s*for ?\(")
_IVDEP = re.compile(r"^\s*#pragma GCC ivdep$")
_SHARED = re.compile(r"^(\s*#pragma omp for)(.*)$")
_SUMS = re.compile(r"^\s*(\w+) = \1 \+ \w+;$")
_EXTREMES = re.compile(r"^\s*(\w+) = (max|min)_propagate_nan\(\1, \w+\);$")
# What is done to one element after the other, or by a call of its own.
_ONE_BY_ONE = re.compile(r"\b(\w+_combine|kw_atomic_add|omp_get_thread_num)\(|\[&\]|\bif ?\(")
_FLOATS = re.compile(r"^\s*(?:float|double) (\w+) = ", re.MULTILINE)


def vectorised(lines: Sequence[str]) -> list[str]:
    """`lines` of a kernel, with a line before each innermost loop that says how to vectorise it."""
    floats = set(_FLOATS.findall("\n".join(lines)))
    made: list[str] = []
    for at, line in enumerate(lines):
        if _IVDEP.match(line):
            continue
        if _FOR.match(line):
            body = lines[at + 1 : _end(lines, at)]
            if not any(_FOR.match(inner) for inner in body):
                _mark(made, line, _simd(body, floats))
        made.append(line)
    return made


def _mark(made: list[str], line: str, simd: str | None) -> None:
    """Put `simd` before the loop `line`: into the pragma that shares it out, if there is one."""
    if simd is None:
        return
    shared = _SHARED.match(made[-1]) if made else None
    if shared is None:
        indent = line[: len(line) - len(line.lstrip())]
        made.append(f"{indent}#pragma omp {simd}")
    elif simd == "simd" and "collapse" not in shared[2]:
        made[-1] = f"{shared[1]} simd{shared[2]}"


def _end(lines: Sequence[str], at: int) -> int:
    """The line that closes the loop at `at`, whose body stands in braces."""
    depth = 0
    for place in range(at + 1, len(lines)):
        depth += lines[place].count("{") - lines[place].count("}")
        if depth <= 0:
            return place
    return len(lines)


def _simd(body: Sequence[str], floats: set[str]) -> str | None:
    """How a loop with this body becomes vector code; None where it does not."""
    if any(_ONE_BY_ONE.search(line) for line in body):
        return None
    clauses = dict(_clauses(body))
    if any(_assigned(line) not in {None, *clauses} for line in body):
        return None  # kept from one element to the next in a way that is not known
    if any(name not in floats for name in clauses):
        return None
    kinds = sorted(set(clauses.values()))
    listed = [", ".join(n for n in sorted(clauses) if clauses[n] == kind) for kind in kinds]
    reductions = [f"reduction({kind} : {ns})" for kind, ns in zip(kinds, listed, strict=True)]
    return " ".join(["simd", *reductions])


def _clauses(body: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is summed up over a loop, and how."""
    for line in body:
        if found := _SUMS.match(line):
            yield found[1], "+"
        elif found := _EXTREMES.match(line):
            yield found[1], f"kw_{found[2]}"


def _assigned(line: str) -> str | None:
    """The variable that a line changes, other than one that it declares or an element."""
    found = re.match(r"^\s*(\w+) [-+*/]?= ", line)
    return found[1] if found else None
