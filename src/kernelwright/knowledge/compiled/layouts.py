"""Shapes and strides of generated code, whose numbers know their axes, as text and compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kernelwright.core.graph import Extent, Size
from kernelwright.core.problem import TensorSpec
from kernelwright.knowledge.compiled.parts import Layout, NoSeed
from kernelwright.knowledge.sketches.poly import ONE, Poly, product


def poly(size: Size) -> Poly:
    """`size` as a polynomial, so that two can be compared."""
    if isinstance(size, int):
        return Poly.number(size)
    if isinstance(size, Extent) and size.power == 1.0:
        return Poly.from_extent(size)
    raise NoSeed(f"torch.compile generates a size that follows from the axes as {size}.")


def elements(layout: Layout) -> Poly:
    """How many elements a tensor has, each counted once."""
    return product([poly(size) for size in layout.sizes])


def contiguous(layout: Layout) -> bool:
    """Whether the elements lie row by row from the first on, with no gap."""
    step = ONE
    for size, stride in reversed(list(zip(layout.sizes, layout.strides, strict=True))):
        if size != 1 and poly(stride) != step:
            return False
        step = step * poly(size)
    return poly(layout.offset) == Poly.number(0)


def span(layout: Layout) -> Poly:
    """How many elements memory for a tensor of this layout has; enough also where an axis is 0."""
    if contiguous(layout):
        return elements(layout)
    total = ONE
    for size, stride in zip(layout.sizes, layout.strides, strict=True):
        total = total + poly(size) * poly(stride)
    return total


def rows(spec: TensorSpec) -> Layout:
    """The layout of a tensor of the problem, which lies row by row."""
    sizes: list[Size] = [Extent(axes=(d,)) if isinstance(d, str) else d for d in spec.shape]
    strides: list[Size] = []
    for at in range(len(sizes)):
        axes = tuple(d for d in spec.shape[at + 1 :] if isinstance(d, str))
        number = math.prod(d for d in spec.shape[at + 1 :] if isinstance(d, int))
        strides.append(Extent(axes=axes, numerator=number) if axes else number)
    return Layout(sizes=tuple(sizes), strides=tuple(strides))


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Writes numbers that follow from the axes, which are called by `names`, in C++."""

    names: Mapping[str, str]

    def value(self, extent: Extent) -> str:
        """A number as an operand."""
        base = Poly.from_extent(extent.model_copy(update={"power": 1.0})).text(self.names)
        if extent.power != 1.0:
            return f"std::pow(static_cast<double>({base}), {extent.power!r})"
        return base if base.isidentifier() else f"({base})"
