"""What a generated module is made of: its kernels, and the steps of its ``call``.

`reading` finds these in the text, at one set of sizes; `joining` makes one of several, whose
numbers know their axes; `cpp` and `triton` write them down as a candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.core.graph import Size
from kernelwright.core.problem import DType


class NoSeed(Exception):
    """What was generated cannot stand alone; the message is the sentence that says why."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A tensor's shape, its strides and where it begins, in elements."""

    sizes: tuple[Size, ...]
    strides: tuple[Size, ...]
    offset: Size = 0


@dataclass(frozen=True, kw_only=True)
class View:
    """A tensor by its name, seen in a layout of its own; None where it is seen as it is."""

    name: str
    layout: Layout | None = None


@dataclass(frozen=True, kw_only=True)
class Allocated:
    """Memory for a tensor, with nothing in it yet."""

    name: str
    dtype: DType
    layout: Layout


@dataclass(frozen=True, kw_only=True)
class Named:
    """Another name for a tensor, or for a part of one."""

    name: str
    view: View


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A kernel, called on tensors and, in Triton, on how many elements it is for."""

    kernel: str
    arguments: tuple[View | Size, ...]


Step = Allocated | Named | Launched


@dataclass(frozen=True, kw_only=True)
class Module:
    """A generated module at one set of sizes. `arguments` are the names in ``call`` of its tensors,
    in order, and `results` what it returns. `kernels` has their sources by name, in `language`."""

    language: str
    arguments: tuple[str, ...]
    kernels: dict[str, str]
    steps: tuple[Step, ...]
    results: tuple[View, ...]
