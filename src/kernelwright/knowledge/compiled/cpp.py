"""A generated module as a C++ candidate: its kernels as functions, its ``call`` as the entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.problem import Problem, Source
from kernelwright.knowledge.compiled.functions import MANY, Function, function
from kernelwright.knowledge.compiled.joining import Joined
from kernelwright.knowledge.compiled.layouts import poly, span
from kernelwright.knowledge.compiled.parts import Allocated, Launched, Layout, Module, NoSeed
from kernelwright.knowledge.compiled.pieces import pieces
from kernelwright.knowledge.compiled.steps import Entry, Place
from kernelwright.knowledge.sketches.poly import ZERO, Poly
from kernelwright.languages.signature import C_TYPES, signature

FILE = "kernel.cpp"
ENTRY = "kernel"
GRAIN = Tunable(name="GRAIN", choices=(4096, 16384, 65536), default=16384)

_HEADERS = ("algorithm", "cmath", "cstdint", "cstring", "limits", "memory", "omp.h", "type_traits")
_PARALLEL = "#pragma omp parallel"


def candidate(problem: Problem, inputs: Sequence[str], generated: Joined) -> Candidate:
    """The candidate that does what `generated` does with `inputs`, by `TensorSpec` name.

    Raises:
        NoSeed: it needs something that a candidate has not.
    """
    kernels = {name: function(problem, name, own) for name, own in generated.kernels.items()}
    texts = {name: kernel.text for name, kernel in kernels.items()}
    steps = _Entry(problem, inputs, generated.module, kernels)
    body = [*_many(problem, texts), *steps.lines()]
    sig = signature(problem)
    if GRAIN.name in sig.names:
        raise NoSeed(f"A parameter is called {GRAIN.name}, as a tunable of ours is.")
    uses_grain = any(GRAIN.name in line for line in body)
    listed = ",\n".join(f"    {parameter}" for parameter in sig.parameters)
    entry = [f'extern "C" void {ENTRY}(', listed, ") {", *(f"    {line}" for line in body), "}"]
    written = "\n".join([*texts.values(), *body])
    parts = [
        "\n".join(f"#include <{header}>" for header in _HEADERS),
        *([_declared()] if uses_grain else []),
        *pieces(written),
        *texts.values(),
        "\n".join(entry),
    ]
    return Candidate(
        problem_id=problem.id,
        language="cpp",
        source=Source(files={FILE: "\n\n".join(parts) + "\n"}, entry_point=f"{FILE}::{ENTRY}"),
        tunables=(GRAIN,) if uses_grain else (),
    )


def _declared() -> str:
    choices = ", ".join(map(str, GRAIN.choices))
    return "\n".join(
        [
            "// elements from which on several threads are used",
            f"// tunable: {GRAIN.name} = {GRAIN.default} in {{{choices}}}",
            f"#ifndef {GRAIN.name}",
            f"#define {GRAIN.name} {GRAIN.default}",
            "#endif",
        ]
    )


def _many(problem: Problem, kernels: Mapping[str, str]) -> list[str]:
    """Whether there is enough to do for several threads."""
    if not any(_PARALLEL in text for text in kernels.values()):
        return []
    sig = signature(problem)
    sizes = dict(zip(problem.axes, (p.name for p in sig.sizes), strict=True))
    specs = {s.name: s for s in (*problem.inputs, *problem.outputs)}
    largest = max(specs.values(), key=lambda s: s.elements(problem.report_workload.axes))
    count = " * ".join(
        sizes.get(d, str(d)) if isinstance(d, str) else str(d) for d in largest.shape
    )
    return [f"const bool {MANY} = {count or '1'} >= {GRAIN.name};"]


class _Entry(Entry):
    """The steps in C++, which call `kernels`."""

    def __init__(
        self,
        problem: Problem,
        inputs: Sequence[str],
        module: Module,
        kernels: Mapping[str, Function],
    ) -> None:
        sig = signature(problem)
        tensors = {p.spec.name: p.name for p in (*sig.inputs, *sig.outputs) if p.spec}
        super().__init__(problem, inputs, module, tensors, {*sig.names, *kernels, MANY})
        self._kernels = kernels
        self._names = dict(zip(problem.axes, (p.name for p in sig.sizes), strict=True))

    def _new(self, name: str, step: Allocated) -> Iterator[str]:
        kind, count = C_TYPES[step.dtype], span(step.layout).text(self._names)
        memory = f"new {kind}[static_cast<std::size_t>({count})]"
        yield f"const std::unique_ptr<{kind}[]> {name}_memory({memory});"
        yield f"{kind}* const {name} = {name}_memory.get();"

    def _called(self, step: Launched) -> str:
        kernel = self._kernels[step.kernel]
        places = self._tensors(step, [not constant for constant in kernel.constant])
        given = [*(self._pointer(place) for place in places), *kernel.more]
        return f"{step.kernel}({', '.join(given)});"

    def _copied(self, output: str, place: Place, layout: Layout) -> Iterator[str]:
        to, source, indent = "0", "0", ""
        for at, (size, stride) in enumerate(zip(layout.sizes, layout.strides, strict=True)):
            count = self._text(poly(size))
            yield f"{indent}for (int64_t i{at} = 0; i{at} < {count}; ++i{at})"
            to = f"({to}) * {count} + i{at}"
            source += f" + {self._text(poly(stride))} * i{at}"
            indent += "    "
        yield f"{indent}{output}[{to}] = ({self._pointer(place)})[{source}];"

    def _pointer(self, place: Place) -> str:
        root = self._roots[place.root]
        return root if place.offset == ZERO else f"{root} + {self._text(place.offset)}"

    def _text(self, number: Poly) -> str:
        text = number.text(self._names)
        return text if text.isalnum() else f"({text})"
