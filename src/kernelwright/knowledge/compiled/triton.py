"""A generated module as a Triton candidate: its kernels, and a module that launches them.

The file is the one that sketches have (`sketches.triton.module`): the reference's constructor and
weights, and a ``forward`` of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from kernelwright.core.candidate import Candidate, Tunable
from kernelwright.core.graph import Size
from kernelwright.core.problem import Problem
from kernelwright.knowledge.compiled.joining import Joined
from kernelwright.knowledge.compiled.layouts import contiguous, elements, poly
from kernelwright.knowledge.compiled.parts import (
    Allocated,
    Launched,
    Layout,
    Module,
    NoSeed,
    View,
)
from kernelwright.knowledge.compiled.programs import INDEX, Program, program
from kernelwright.knowledge.compiled.steps import Entry, Place
from kernelwright.knowledge.sketches.expr import Maker
from kernelwright.knowledge.sketches.poly import ZERO, Poly, product
from kernelwright.knowledge.sketches.site import NoSketch
from kernelwright.knowledge.sketches.triton import module as file
from kernelwright.knowledge.sketches.triton.text import TritonText

BLOCK = Tunable(name="BLOCK", choices=(256, 512, 1024, 2048, 4096), default=1024)
NUM_WARPS = Tunable(name="NUM_WARPS", choices=(2, 4, 8, 16), default=4)
COLUMNS = Tunable(name="COLUMNS", choices=(8, 16, 32, 64, 128), default=64)
# First guesses where rows are brought together.
_ROWS = {"BLOCK": 2048, "NUM_WARPS": 8}
_TILE = 32  # neighbours along the first axis of a tile of two

_GRIDS = {
    "Grid1D": "triton.cdiv({x}, {xblock})",
    "Grid2D": "triton.cdiv({x}, {xblock}), triton.cdiv({y}, {yblock})",
}


def candidate(problem: Problem, inputs: Sequence[str], generated: Joined) -> Candidate:
    """The candidate that does what `generated` does with `inputs`, by `TensorSpec` name.

    Raises:
        NoSeed: it needs something that a candidate has not.
    """
    text = TritonText(problem, Maker())
    scalars = {s.name: text.tensors[s.name] for s in problem.inputs if s.role == "scalar"}
    known = text.axes | scalars
    kernels = {name: program(name, own, known) for name, own in generated.kernels.items()}
    try:
        device = file.device(problem, text)
        steps = _Entry(problem, inputs, generated.module, text, kernels, device)
        launches = steps.lines()
        written = file.Written(
            problem=problem,
            text=text,
            tunables=_tunables(kernels, launches),
            device=device,
            kernels=[kernel.text for kernel in kernels.values()],
            launches=launches,
            spaces=steps.spaces,
            counts={},
        )
        return file.candidate(written)
    except NoSketch as reason:
        raise NoSeed(str(reason)) from reason


def _tunables(kernels: Mapping[str, Program], launches: Sequence[str]) -> tuple[Tunable, ...]:
    guesses = _ROWS if any(kernel.kind == "reduction" for kernel in kernels.values()) else {}
    used = "\n".join(launches)
    return tuple(
        each.model_copy(update={"default": guesses.get(each.name, each.default)})
        for each in (BLOCK, NUM_WARPS, COLUMNS)
        if re.search(rf"\b{each.name}\b", used)
    )


class _Entry(Entry):
    """The steps in Python, which launch `kernels`. `spaces` are how many elements something is
    done for, or there is memory for."""

    def __init__(
        self,
        problem: Problem,
        inputs: Sequence[str],
        module: Module,
        text: TritonText,
        kernels: Mapping[str, Program],
        device: str,
    ) -> None:
        super().__init__(problem, inputs, module, text.tensors, {*text.taken, *kernels})
        self._text, self._kernels, self._device = text, kernels, device
        self.spaces: list[Poly] = []

    def _new(self, name: str, step: Allocated) -> Iterator[str]:
        kind = f"dtype=torch.{step.dtype}, {self._device}"
        sizes, strides = self._tuple(step.layout.sizes), self._tuple(step.layout.strides)
        self.spaces.append(elements(step.layout))
        if contiguous(step.layout):
            yield f"{name} = torch.empty({sizes}, {kind})"
        else:
            yield f"{name} = torch.empty_strided({sizes}, {strides}, {kind})"

    def _called(self, step: Launched) -> str:
        kernel = self._kernels[step.kernel]
        places = iter(self._tensors(step, kernel.written))
        given = [
            self._tensor(next(places)) if isinstance(argument, View) else self._number(argument)
            for argument in step.arguments
        ]
        counts = [argument for argument in step.arguments if not isinstance(argument, View)]
        self.spaces.append(product([poly(count) for count in counts]))
        numels = [self._number(count) for count in counts]
        blocks = self._blocks(step.kernel, kernel, numels)
        for inside, here in kernel.more:
            given.append(f"{inside}={here}" if inside in kernel.constants else here)
        given += [f"{INDEX}={self._text.unique('index')}"]
        given += [f"{name}={size}" for name, size in blocks.items()]
        given += [f"num_warps={NUM_WARPS.name}"]
        grid = self._grid(step.kernel, kernel, blocks, numels)
        return f"{step.kernel}[({grid},)]({', '.join(given)})"

    def _grid(
        self, name: str, kernel: Program, blocks: Mapping[str, str], numels: Sequence[str]
    ) -> str:
        if kernel.grid not in _GRIDS:
            raise NoSeed(
                f"{name}, which torch.compile generates, is launched in a way that is not known: "
                f"{kernel.grid}."
            )
        y, x = ("", numels[0]) if kernel.grid == "Grid1D" else (numels[0], numels[1])
        return _GRIDS[kernel.grid].format(
            x=x, y=y, xblock=blocks.get("XBLOCK", "1"), yblock=blocks.get("YBLOCK", "1")
        )

    def _blocks(self, name: str, kernel: Program, numels: Sequence[str]) -> dict[str, str]:
        """The sizes of a tile of `kernel`, as text."""
        match kernel.kind, kernel.blocks:
            case "pointwise", ("XBLOCK",):
                return {"XBLOCK": BLOCK.name}
            case "pointwise", ("YBLOCK", "XBLOCK"):
                return {"YBLOCK": f"{BLOCK.name} // {_TILE}", "XBLOCK": str(_TILE)}
            case "reduction", ("XBLOCK", "R0_BLOCK"):
                x, r = (f"kw_power({each})" for each in numels)
                if kernel.hint == "INNER":
                    row = f"min({BLOCK.name}, {r})"
                    return {"XBLOCK": f"min({BLOCK.name} // {row}, {x})", "R0_BLOCK": row}
                column = f"min({COLUMNS.name}, {x})"
                return {"XBLOCK": column, "R0_BLOCK": f"min({BLOCK.name} // {column}, {r})"}
        raise NoSeed(
            f"{name}, which torch.compile generates, is of a kind that is not known: "
            f"{kernel.kind} in tiles of {' and '.join(kernel.blocks)}."
        )

    def _tensor(self, place: Place) -> str:
        root = self._roots[place.root]
        if place.offset == ZERO:
            return root
        return f"{root}.view(-1)[{place.offset.text(self._text.axes, '//')}:]"

    def _copied(self, output: str, place: Place, layout: Layout) -> Iterator[str]:
        sizes, strides = self._tuple(layout.sizes), self._tuple(layout.strides)
        offset = place.offset.text(self._text.axes, "//")
        root = self._roots[place.root]
        seen = f"torch.as_strided({root}, {sizes}, {strides}, {offset})"
        yield f"{output}.view({sizes}).copy_({seen})"

    def _number(self, size: Size) -> str:
        return poly(size).text(self._text.axes, "//")

    def _tuple(self, sizes: Sequence[Size]) -> str:
        listed = [self._number(size) for size in sizes]
        return f"({', '.join(listed)}{',' if len(listed) == 1 else ''})"
