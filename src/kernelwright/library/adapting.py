"""A kernel of the library as a candidate for another problem: its text, and how it is called.

The kernel itself stays as it is but for the constants that it names. A native kernel gets a second
function with the problem's own parameters, which calls it; a module gets the problem's own model,
whose `forward` calls the kernel's function `run`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from kernelwright.core.candidate import Candidate
from kernelwright.core.problem import Problem, Source
from kernelwright.languages.cuda import STREAM
from kernelwright.languages.signature import signature
from kernelwright.library.matching import Fit, NoFit
from kernelwright.library.modules import MODEL, joined_module

ADAPTED = "adapted"
_NUMBER = r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def adapted(found: Fit, problem: Problem, device: str | None = None) -> Candidate:
    """The kernel as a candidate for `problem`, set as was best on `device` where that is known.

    Raises:
        NoFit: its text cannot be joined to the problem.
    """
    kernel, about = found.kernel, found.kernel.about
    text = with_constants(kernel.source.text, found.constants)
    if about.lane == "native":
        text, entry = _native(found, problem, text)
    else:
        text, entry = joined_module(found, problem, text), MODEL
    main = kernel.source.main_file
    lines = [f"From the library of Kernelwright: {kernel.name}."]
    mark = "//" if about.lane == "native" else "#"
    head = "".join(f"{mark} {line}\n" for line in lines)
    return kernel.candidate(problem, device).model_copy(
        update={
            "source": Source(
                files={**kernel.source.files, main: head + text}, entry_point=f"{main}::{entry}"
            )
        }
    )


def constant_line(name: str) -> re.Pattern[str]:
    """The line of a text that gives the constant `name` its number: ``#define NAME 1e-6f``,
    ``constexpr float NAME = 1e-6f;`` or, in Python, ``NAME = 1e-6``."""
    native = rf"[ \t]*(?:static[ \t]+)?constexpr[ \t]+(?:float|double)[ \t]+{name}[ \t]*=[ \t]*"
    macro = rf"[ \t]*#[ \t]*define[ \t]+{name}[ \t]+"
    python = rf"{name}[ \t]*(?::[ \t]*[\w.\[\]]+[ \t]*)?=[ \t]*(?:tl\.constexpr\()?"
    return re.compile(rf"^({native}|{macro}|{python})({_NUMBER})", re.MULTILINE)


def with_constants(text: str, values: Mapping[str, float]) -> str:
    """`text` with its constants set to `values`.

    >>> with_constants("constexpr float EPS = 1e-6f;", {"EPS": 1e-5})
    'constexpr float EPS = 1e-05f;'

    Raises:
        NoFit: a constant has no line of its own, or several.
    """
    for name, value in values.items():
        line = constant_line(name)
        if len(line.findall(text)) != 1:
            raise NoFit(f"Its text does not give {name} a number, once, on a line of its own.")
        text = line.sub(rf"\g<1>{float(value)!r}", text)
    return text


def _native(found: Fit, problem: Problem, text: str) -> tuple[str, str]:
    """The text with a function that has the problem's parameters, and that function's name."""
    entry = found.kernel.source.name
    ours, theirs = signature(problem), _own_signature(found)
    tensors = {s.name: p.name for s, p in zip(problem.inputs, ours.inputs, strict=True)}
    tensors |= {s.name: p.name for s, p in zip(problem.outputs, ours.outputs, strict=True)}
    axes = dict(zip(problem.axes, (p.name for p in ours.sizes), strict=True))
    names = {**found.tensors, **found.outputs}
    arguments = [tensors[names[name]] for name in theirs]
    arguments += [found.sizes[axis].text(axes, "/") for axis in found.kernel.about.computes.sizes]
    if arguments == list(ours.names):
        return text, entry
    # What a language hands over behind the sizes goes through.
    after = [STREAM] if found.kernel.about.language == "cuda" else []
    arguments += [p.name for p in after]
    declared = ours.declaration(ADAPTED, after=map(str, after))
    wrapper = f"\n{declared} {{\n    {entry}({', '.join(arguments)});\n}}\n"
    return text.rstrip() + "\n" + wrapper, ADAPTED


def _own_signature(found: Fit) -> list[str]:
    """The kernel's tensors in the order of its parameters."""
    what = found.kernel.about.computes
    return [spec.name for spec in (*what.inputs, *what.written)]
