"""A whole C++ candidate: the stages of a plan, in one file with everything that they use."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.problem import Problem, Source
from kernelwright.knowledge.sketches.attended import attended
from kernelwright.knowledge.sketches.cpp.attention import AttentionNest
from kernelwright.knowledge.sketches.cpp.calls import TYPES
from kernelwright.knowledge.sketches.cpp.columns import ColumnNest
from kernelwright.knowledge.sketches.cpp.nest import Nest, indented
from kernelwright.knowledge.sketches.cpp.product import ProductNest
from kernelwright.knowledge.sketches.cpp.rows import RowNest
from kernelwright.knowledge.sketches.cpp.split import SplitRowNest
from kernelwright.knowledge.sketches.cpp.stored import StoredRowNest, shared
from kernelwright.knowledge.sketches.cpp.text import CppText
from kernelwright.knowledge.sketches.poly import ONE
from kernelwright.knowledge.sketches.sharing import with_shared_factor
from kernelwright.knowledge.sketches.site import NoSketch
from kernelwright.knowledge.sketches.stages import Plan, Stage

FILE = "kernel.cpp"
ENTRY = "kernel"

LANES = Tunable(name="LANES", choices=(16, 32, 64), default=64)
TILE = Tunable(name="TILE", choices=(64, 128, 256, 512, 1024), default=256)
BLOCK = Tunable(name="BLOCK", choices=(256, 512, 1024, 2048, 4096), default=1024)
GRAIN = Tunable(name="GRAIN", choices=(4096, 16384, 65536), default=16384)
STREAM = Tunable(name="STREAM", choices=(0, 1), default=1)
ROWS = Tunable(name="ROWS", choices=(1, 4, 6, 8, 12), default=8)
COLUMNS = Tunable(name="COLUMNS", choices=(16, 32, 48, 64), default=32)
DEPTH = Tunable(name="DEPTH", choices=(128, 256, 512), default=256)
QUERIES = Tunable(name="QUERIES", choices=(16, 32, 64, 128), default=64)
KEYS = Tunable(name="KEYS", choices=(64, 128, 256, 512), default=256)
AHEAD = Tunable(name="AHEAD", choices=(0, 1), default=1)
POPULATE = Tunable(name="POPULATE", choices=(0, 1), default=1)

_MEANING = {
    "LANES": "partial results that a row is summed into at once",
    "TILE": "neighbouring columns that are walked down together",
    "BLOCK": "elements that are computed before they are written",
    "GRAIN": "elements from which on several threads are used",
    "STREAM": "whether a large result is written past the cache",
    "ROWS": "rows of a tile of a matrix product",
    "COLUMNS": "columns of a tile of a matrix product",
    "DEPTH": "products of a sum that are added before those of the next tile",
    "QUERIES": "rows of attention that go past the keys together",
    "KEYS": "scores that a row of attention has at a time",
    "AHEAD": "whether a row asks for memory that it needs later, and the next row",
    "POPULATE": "whether the pages of a large result are asked for in one go",
}
# g++ takes half of the widest vectors unless it is told to take them whole.
_OPTIONS = ("-mprefer-vector-width=512",)
_HEADERS = ("algorithm", "cmath", "cstdint", "cstring", "limits")
# What kernels are made of, in this order; the first paragraph of each says what is in it.
_PIECES = ("pieces.h", "product.h", "attention.h")
_CONSTANTS = {
    "KW_SUM_BLOCK": (
        "// elements that are summed in float before they go into the total\n"
        "constexpr int64_t KW_SUM_BLOCK = 2048;"
    ),
    "KW_NEAR_ROWS": (
        "// elements of a column that are summed in float before they go into its total\n"
        "constexpr int64_t KW_NEAR_ROWS = 8;"
    ),
    "KW_NEAR": (
        "// elements of a row up to which the next one finds room beside it in a core's cache\n"
        "constexpr int64_t KW_NEAR = 65536;"
    ),
    "KW_STREAM_FROM": (
        "// bytes from which a result comes in memory that no cache holds\n"
        "constexpr int64_t KW_STREAM_FROM = 8 << 20;"
    ),
}


# From this size on an allocator gives pages that nobody has touched yet, and one fault for each
# costs more than the kernel does. Below it the memory has been used before.
_FRESH_BYTES = 32 << 20
# Below this a result stays in a cache until it is read.
_LARGE_BYTES = 12 << 20

# With fewer rows than this, threads share a row; with fewer elements it is not worth starting them.
_FEW_ROWS = 8
_MANY_ELEMENTS = 1 << 16

# Rows up to which a tile is wide instead of high.
_FEW_OF_A_TILE = 4
# From this many rows on, a tile of twelve leaves few of its rows empty.
_MANY_ROWS = 48


def packed(problem: Problem, plan: Plan) -> Candidate | None:
    """Matrix products in tiles, over packed factors; None where there is none."""
    if all(_product_nest(stage) is None for stage in plan.stages):
        return None
    maker = plan.lowering.maker
    plan = replace(plan, stages=tuple(with_shared_factor(maker, s) for s in plan.stages))
    return _rendered(problem, plan, lambda s: _product_nest(s) or _usual(problem, s))


def _product_nest(stage: Stage) -> type[Nest] | None:
    known = stage.product is not None and stage.product.dtype in ("float32", "float64")
    return ProductNest if known else None


def online(problem: Problem, plan: Plan) -> Candidate | None:
    """Attention takes keys in tiles and keeps no scores; None where no stage is attention of more
    queries than a tile's rows: with fewer, packing keys and values costs more than it brings."""
    axes = problem.report_workload.axes
    found = [s.product.rows.extent.at(axes) for s in plan.stages if s.attention and s.product]
    if max(found, default=0) < ROWS.default:
        return None
    return _rendered(problem, attended(plan), lambda s: _contracted(s) or _usual(problem, s))


def _contracted(stage: Stage) -> type[Nest] | None:
    return AttentionNest if stage.attention is not None else _product_nest(stage)


def recomputed(problem: Problem, plan: Plan) -> Candidate:
    """Every pass over a row works out what it needs from the inputs."""
    return _rendered(problem, plan, lambda stage: _usual(problem, stage))


def stored(problem: Problem, plan: Plan) -> Candidate | None:
    """Costly elements that several passes need are kept for a row; None where there are none."""
    text = CppText(problem, plan.lowering.maker)

    def choose(stage: Stage) -> type[Nest]:
        usual = _usual(problem, stage)
        return StoredRowNest if usual is RowNest and _has_shared(text, stage) else usual

    if all(choose(stage) is not StoredRowNest for stage in plan.stages):
        return None
    return _rendered(problem, plan, choose)


def unsplit(problem: Problem, plan: Plan) -> Candidate | None:
    """Each row is left to one thread, also where there are few; None where there are many."""

    def choose(stage: Stage) -> type[Nest]:
        usual = _usual(problem, stage)
        return RowNest if usual is SplitRowNest else usual

    if all(_usual(problem, stage) is not SplitRowNest for stage in plan.stages):
        return None
    return _rendered(problem, plan, choose)


def _usual(problem: Problem, stage: Stage) -> type[Nest]:
    """The nest that fits the sizes that will be timed."""
    if not stage.in_rows:
        return ColumnNest
    sizes = problem.report_workload.axes
    rows = stage.row.extent.at(sizes)
    elements = stage.lane.extent.at(sizes) * stage.depth.extent.at(sizes)
    few = rows < _FEW_ROWS and elements >= _MANY_ELEMENTS
    # The blocks of a scan wait for each other.
    return SplitRowNest if few and stage.passes and not stage.scans else RowNest


def _has_shared(text: CppText, stage: Stage) -> bool:
    return stage.depth.extent == ONE and bool(shared(text, stage))


def _rendered(problem: Problem, plan: Plan, choose: Callable[[Stage], type[Nest]]) -> Candidate:
    """A loop nest for each stage, of the kind that `choose` says."""
    text = CppText(problem, plan.lowering.maker)
    body: list[str] = []
    written = {store.target for stage in plan.stages for store in stage.all_stores}
    for temporary in plan.temporaries:
        if temporary.name not in written:
            continue
        name, kind = text.unique(temporary.name), TYPES[temporary.dtype]
        text.tensors[temporary.name] = name
        text.taken.add(name)
        text.stored[temporary.name] = temporary.dtype
        count = f"static_cast<std::size_t>({text.poly(temporary.elements)})"
        body += [
            f"const std::unique_ptr<{kind}[]> {name}_memory(new {kind}[{count}]);",
            f"{kind}* const {name} = {name}_memory.get();",
        ]
    body += _populated(problem, text)
    for stage in plan.stages:
        body += choose(stage)(text, stage).lines()
    guesses = {"STREAM": int(_streamed(problem)), **_tile(problem, plan)}
    return candidate(problem, text, body, guesses)


def _tile(problem: Problem, plan: Plan) -> dict[str, int]:
    """A tile for matrix products that have few rows at the sizes that are timed."""
    axes = problem.report_workload.axes
    rows = [s.product.rows.extent.at(axes) for s in plan.stages if s.product is not None]
    most = max(rows, default=0)
    if most <= _FEW_OF_A_TILE:
        return {"ROWS": 1 if most == 1 else _FEW_OF_A_TILE, "COLUMNS": max(COLUMNS.choices)}
    return {"ROWS": 8 if most < _MANY_ROWS else 12}


def _streamed(problem: Problem) -> bool:
    """Whether to write past the cache is the better first guess, at the sizes that are timed.

    Fresh pages have just been cleared, through the cache, so that ordinary stores hit it.
    """
    written = sum(o.nbytes(problem.report_workload.axes) for o in problem.outputs)
    return _LARGE_BYTES <= written < _FRESH_BYTES


def _populated(problem: Problem, text: CppText) -> list[str]:
    """Asking for the pages of the outputs that are so large that their memory comes fresh."""
    lines = []
    for spec in problem.outputs:
        if spec.nbytes(problem.report_workload.axes) < _FRESH_BYTES:
            continue
        sizes = [text.axes[d] if isinstance(d, str) else str(d) for d in spec.shape]
        elements = " * ".join(["int64_t(1)", *sizes])
        lines.append(
            f"if (POPULATE) kw_populate({text.tensors[spec.name]}, {elements} * "
            f"int64_t(sizeof({TYPES[spec.dtype]})));"
        )
    return lines


def candidate(
    problem: Problem, text: CppText, body: list[str], guesses: Mapping[str, int]
) -> Candidate:
    """The candidate whose function does `body`, with the tunables that it uses.

    `guesses` are first guesses of tunables that are better here than the usual ones.
    """
    written = "\n".join(body)
    tunables = _tunables(text, written, guesses)
    parameters = ",\n".join(f"{p.c_type} {p.name}" for p in text.signature.parameters)
    function = [
        f'extern "C" void {ENTRY}(',
        *indented(parameters.split("\n")),
        ") {",
        *indented(body),
        "}",
    ]
    needed = pieces(written)
    headers = [
        *_HEADERS,
        *(["memory"] if "unique_ptr" in written else []),
        *(["omp.h"] if "omp_get_max_threads" in written else []),
        *(["utility"] if "kw_run(" in written or "kw_turned<" in written else []),
        *(["type_traits"] if "kw_run(" in written else []),
        *(["sys/mman.h"] if "kw_populate" in written else []),
    ]
    parts = [
        "\n".join(f"#include <{h}>" for h in headers),
        *("\n".join(_tunable_lines(t)) for t in tunables),
        "\n".join(line for name, line in _CONSTANTS.items() if re.search(rf"\b{name}\b", written)),
        *needed,
        "\n".join(function),
    ]
    return Candidate(
        problem_id=problem.id,
        language="cpp",
        source=Source(
            files={FILE: "\n\n".join(p for p in parts if p) + "\n"}, entry_point=f"{FILE}::{ENTRY}"
        ),
        build_options=_OPTIONS,
        tunables=tuple(tunables),
    )


def _tunables(text: CppText, written: str, guesses: Mapping[str, int]) -> list[Tunable]:
    known = [
        t.model_copy(update={"default": guesses.get(t.name, t.default)})
        for t in (
            LANES, TILE, BLOCK, ROWS, COLUMNS, DEPTH, QUERIES, KEYS, GRAIN, STREAM, AHEAD,
            POPULATE,
        )
    ]  # fmt: skip
    for tunable in known:
        if tunable.name in text.signature.names:
            raise NoSketch(f"A parameter is called {tunable.name}, as a tunable of ours is.")
    return [t for t in known if re.search(rf"\b{t.name}\b", written)]


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
    """The paragraphs of our header files that `written` uses, and those that they use, in order."""
    folder = importlib.resources.files(__package__)
    texts = [folder.joinpath(name).read_text() for name in _PIECES]
    paragraphs = [p for text in texts for p in text.strip().split("\n\n")[1:]]
    names = [set(re.findall(r"\b(kw_\w+)\s*(?:\(|\{)", p.split("{")[0] + "{")) for p in paragraphs]
    wanted, chosen = set(re.findall(r"\bkw_\w+", written)), set[int]()
    while True:
        more = {n for n, own in enumerate(names) if own & wanted and n not in chosen}
        if not more:
            return [paragraphs[n] for n in sorted(chosen)]
        chosen |= more
        for n in more:
            wanted |= set(re.findall(r"\bkw_\w+", paragraphs[n]))
