"""A generated C++ kernel as a function that knows neither torch nor the sizes that it was made for.

Types and helpers of torch get our names for them; what is left of torch is refused by its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.core.graph import Extent
from kernelwright.core.problem import Problem
from kernelwright.knowledge.compiled.joining import Piece, Scalar, free_names
from kernelwright.knowledge.compiled.layouts import Numbers
from kernelwright.knowledge.compiled.loops import vectorised
from kernelwright.knowledge.compiled.parts import NoSeed
from kernelwright.knowledge.compiled.pieces import paragraphs
from kernelwright.languages.signature import Parameter, signature

MANY = "many"  # whether several threads are worth their start
_PARALLEL = "#pragma omp parallel"

_HEAD = re.compile(r'extern "C"\s+void\s+kernel\((?P<parameters>.*?)\)\s*\{', re.DOTALL)
_OURS = {
    "at::BFloat16": "bfloat16",
    "at::Half": "float16",
    "at::Float8_e4m3fn": "float8_e4m3fn",
    "at::Float8_e5m2": "float8_e5m2",
    "c10::convert<": "static_cast<",
    "c10::div_floor_integer(": "kw_floor_div(",
    "atomic_add(": "kw_atomic_add(",
    "C10_LIKELY(": "(",
    "C10_UNLIKELY(": "(",
}
_IDLE = re.compile(r"^.*(#include <torch|inductor_cpu_integer_div_error).*\n", re.MULTILINE)
_THREAD = re.compile(r"^\s*int tid = omp_get_thread_num\(\);\n", re.MULTILINE)
_INDEX = re.compile(r"static_cast<int64_t>\(([\w +*-]+|\w+)\)")
_CALLED = re.compile(r"(?<![\w.>:])((?:\w+::)*\w+)(?:<[\w:, ]*>)?\(")
_WORDS = """
    for if while switch return sizeof decltype static_cast reinterpret_cast float double bool int
    int64_t int32_t int16_t int8_t uint8_t uint32_t uint64_t long bfloat16 float16 float8_e4m3fn
    float8_e5m2 omp_get_thread_num omp_get_max_threads
    """
_KNOWN = frozenset(_WORDS.split())


@dataclass(frozen=True, kw_only=True)
class Function:
    """A kernel as a function. `constant` says of each of its own arguments whether it is only read;
    behind these it is given `more`, as the entry point calls them."""

    text: str
    constant: tuple[bool, ...]
    more: tuple[str, ...]


def function(problem: Problem, name: str, source: Sequence[Piece]) -> Function:
    """The kernel `name`, whose numbers follow from the sizes of `problem`.

    Raises:
        NoSeed: it calls what only torch has.
    """
    # What it calls each number that the entry point is given, by its name there.
    names = free_names(source, {p.name: p.name for p in _numbers_of(problem)}, (MANY,))
    text = _text(source, names)
    head = _HEAD.search(text)
    if head is None:
        raise NoSeed(f"torch.compile generates {name} in a form that is not known.")
    own = [" ".join(parameter.split()) for parameter in head["parameters"].split(",")]
    body = "\n".join(vectorised(("{" + text[head.end() :]).strip().splitlines()))
    given = [p for p in _numbers_of(problem) if re.search(rf"\b{names[p.name]}\b", body)]
    more = [(p.name, f"{p.c_type} {names[p.name]}") for p in given]
    if _PARALLEL in body:
        body = body.replace(_PARALLEL, f"{_PARALLEL} if ({MANY})")
        more.append((MANY, f"bool {MANY}"))
    _check(name, body)
    listed = ",\n".join(f"    {parameter}" for parameter in [*own, *(said for _, said in more)])
    return Function(
        text=f"static void {name}(\n{listed}) {body}",
        constant=tuple(parameter.startswith("const ") for parameter in own),
        more=tuple(called for called, _ in more),
    )


def _numbers_of(problem: Problem) -> list[Parameter]:
    """The parameters that are numbers: sizes, and scalars that the caller gives."""
    return [p for p in signature(problem).parameters if p.kind != "tensor"]


def _text(source: Sequence[Piece], names: dict[str, str]) -> str:
    """The source in C++ of ours, with the numbers that follow from the sizes written out."""
    text = "".join(_piece(piece, names) for piece in source)
    for theirs, ours in _OURS.items():
        text = re.sub(rf"\b{re.escape(theirs)}", ours, text)
    text = _IDLE.sub("", text)
    if len(re.findall(r"\btid\b", text)) == 1:
        text = _THREAD.sub("", text)
    while (plainer := _INDEX.sub(_plain, text)) != text:
        text = plainer
    return text


def _piece(piece: Piece, names: dict[str, str]) -> str:
    match piece:
        case str():
            return piece
        case Scalar(name=name):
            return names[name]
        case Extent():
            return Numbers(names=names).value(piece)


def _plain(match: re.Match[str]) -> str:
    """An index without the cast around it, where it is an integer of 64 bits anyway."""
    inside = match[1]
    if re.search(r"\b(tmp|in_|out_)", inside):
        return match[0]
    return inside if inside.replace("_", "").isalnum() else f"({inside})"


def _check(name: str, body: str) -> None:
    """Refuse what only torch has."""
    body = re.sub(r"#pragma.*", "", body)
    left = re.search(r"\b(?:at|c10|torch)::[\w:]+", body)
    unknown = [
        called
        for called in _CALLED.findall(body)
        if called not in _KNOWN and called not in paragraphs() and not called.startswith("std::")
        and not re.search(rf"\bauto {called} =|> {called}\(", body)
    ]  # fmt: skip
    if left or unknown:
        said = left[0] if left else unknown[0]
        raise NoSeed(f"{name}, which torch.compile generates, calls {said}, which only torch has.")
