"""A whole C++ candidate: the stages of a plan, in one file with everything that they use."""

from __future__ import annotations

import importlib.resources
import re

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.problem import Problem, Source
from kernelwright.knowledge.sketches.cpp.calls import TYPES
from kernelwright.knowledge.sketches.cpp.columns import ColumnNest
from kernelwright.knowledge.sketches.cpp.nest import indented
from kernelwright.knowledge.sketches.cpp.rows import RowNest
from kernelwright.knowledge.sketches.cpp.text import CppText
from kernelwright.knowledge.sketches.stages import Plan

FILE = "kernel.cpp"
ENTRY = "kernel"

LANES = Tunable(name="LANES", choices=(16, 32, 64, 128), default=64)
TILE = Tunable(name="TILE", choices=(64, 128, 256, 512, 1024), default=256)
BLOCK = Tunable(name="BLOCK", choices=(256, 512, 1024, 2048, 4096), default=1024)
GRAIN = Tunable(name="GRAIN", choices=(4096, 16384, 65536), default=16384)
STREAM = Tunable(name="STREAM", choices=(0, 1), default=1)

_MEANING = {
    "LANES": "partial results that a row is summed into at once",
    "TILE": "neighbouring columns that are walked down together",
    "BLOCK": "elements that are computed before they are written",
    "GRAIN": "elements from which on several threads are used",
    "STREAM": "whether a large result is written past the cache",
}
_HEADERS = ("algorithm", "cmath", "cstdint", "cstring", "limits")
_CONSTANTS = {
    "KW_SUM_BLOCK": "constexpr int64_t KW_SUM_BLOCK = 8192;  // elements summed before the total is taken",
    "KW_STREAM_FROM": "constexpr int64_t KW_STREAM_FROM = 4 << 20;  // bytes that no cache should be filled with",
}


def by_rows(problem: Problem, plan: Plan) -> Candidate:
    """A loop nest for each stage, with rows spread over threads."""
    text = CppText(problem, plan.lowering.maker)
    for temporary in plan.temporaries:
        text.tensors[temporary.name] = text.unique(temporary.name)
        text.stored[temporary.name] = temporary.dtype
    body: list[str] = []
    for temporary in plan.temporaries:
        name, kind = text.tensors[temporary.name], TYPES[temporary.dtype]
        elements = text.poly(temporary.elements)
        body += [
            f"const std::unique_ptr<{kind}[]> {name}_memory(new {kind}[static_cast<std::size_t>({elements})]);",
            f"{kind}* const {name} = {name}_memory.get();",
        ]
    for stage in plan.stages:
        nest = RowNest if stage.in_rows else ColumnNest
        body += nest(text, stage).lines()
    return candidate(problem, text, body)


def candidate(problem: Problem, text: CppText, body: list[str]) -> Candidate:
    """The candidate whose function does `body`, with the tunables that it uses."""
    written = "\n".join(body)
    tunables = [
        t for t in (LANES, TILE, BLOCK, GRAIN, STREAM) if re.search(rf"\b{t.name}\b", written)
    ]
    parameters = ",\n".join(f"{p.c_type} {p.name}" for p in text.signature.parameters)
    function = [
        f'extern "C" void {ENTRY}(',
        *indented(parameters.split("\n")),
        ") {",
        *indented(body),
        "}",
    ]
    needed = pieces(written)
    headers = [*_HEADERS, *(["memory"] if "unique_ptr" in written else [])]
    parts = [
        "\n".join(f"#include <{h}>" for h in headers),
        *("\n".join(_tunable_lines(t)) for t in tunables),
        "\n".join(line for name, line in _CONSTANTS.items() if name in written),
        *needed,
        "\n".join(function),
    ]
    return Candidate(
        problem_id=problem.id,
        language="cpp",
        source=Source(
            files={FILE: "\n\n".join(p for p in parts if p) + "\n"}, entry_point=f"{FILE}::{ENTRY}"
        ),
        tunables=tuple(tunables),
    )


def _tunable_lines(tunable: Tunable) -> list[str]:
    name = tunable.name
    choices = ", ".join(map(str, tunable.choices))
    return [
        f"// {_MEANING[name]}",
        f"// tunable: {name} = {tunable.default} in {{{choices}}}",
        f"#ifndef {name}",
        f"#define {name} {tunable.default}",
        "#endif",
    ]


def pieces(written: str) -> list[str]:
    """The paragraphs of ``pieces.h`` that `written` uses, and those that they use, in order."""
    text = importlib.resources.files(__package__).joinpath("pieces.h").read_text()
    paragraphs = text.strip().split("\n\n")[1:]
    names = [set(re.findall(r"\b(kw_\w+)\s*(?:\(|\{)", p.split("{")[0] + "{")) for p in paragraphs]
    wanted, chosen = set(re.findall(r"\bkw_\w+", written)), set[int]()
    while True:
        more = {n for n, own in enumerate(names) if own & wanted and n not in chosen}
        if not more:
            return [paragraphs[n] for n in sorted(chosen)]
        chosen |= more
        for n in more:
            wanted |= set(re.findall(r"\bkw_\w+", paragraphs[n]))
