"""A reference program as a graph of ATen operators.

The trace is made where torch is (`problems.tracing`), at several sets of sizes, so that a number
that follows from the sizes is known to do so. It crosses to the sketches as this record; nothing
above `problems` needs torch to read it. Every argument survives a round trip through JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

from pydantic import Field, field_validator

from kernelwright.core.problem import DType
from kernelwright.core.record import Record


class Ref(Record):
    """An argument that is another value of the graph."""

    ref: str


class Special(Record):
    """An argument that JSON has no number for."""

    special: Literal["inf", "-inf", "nan"]

    @property
    def value(self) -> float:
        """The number."""
        return float(self.special)


class Extent(Record):
    """A number that follows from the axes: ``(numerator / denominator * product(axes) /
    product(over) + offset) ** power``. A size in a shape has the power 1, and divisions are exact;
    each of `over` divides the axis at its place in `axes`."""

    axes: tuple[str, ...] = Field(min_length=1)
    numerator: int = 1
    denominator: int = Field(default=1, ge=1)
    offset: int = 0
    power: float = 1.0
    over: tuple[str, ...] = ()

    def at(self, sizes: Mapping[str, int]) -> float:
        """The number under the sizes of a workload.

        >>> Extent(axes=("dim",), denominator=2, offset=-1).at({"dim": 8})
        3.0
        """
        product = math.prod(sizes[a] for a in self.axes)
        divisor = self.denominator * math.prod(sizes[a] for a in self.over)
        base = Fraction(self.numerator * product, divisor) + self.offset
        return math.pow(base, self.power)


class Unexplained(Record):
    """A number that changes with the sizes in a way that no `Extent` says: what it was in each
    trace."""

    seen: tuple[float, ...]


Size = int | Extent | Unexplained

_TAGS: dict[str, type[Record]] = {
    "ref": Ref,
    "special": Special,
    "axes": Extent,
    "seen": Unexplained,
}


def _revived(value: Any) -> Any:
    """`value` as it was before JSON: tagged dictionaries become their records again."""
    if isinstance(value, dict):
        for tag, record in _TAGS.items():
            if tag in value:
                return record.model_validate(value)
    if isinstance(value, list | tuple):
        return tuple(_revived(v) for v in value)
    if isinstance(value, float) and not math.isfinite(value):
        return Special(special=_special(value))
    return value


def _special(value: float) -> Literal["inf", "-inf", "nan"]:
    if math.isnan(value):
        return "nan"
    return "inf" if value > 0 else "-inf"


class Value(Record):
    """A tensor that enters the graph, under the name of its `TensorSpec`."""

    name: str
    shape: tuple[Size, ...]
    dtype: DType


class Node(Record):
    """One operator. An argument is a `Ref`, a number, an `Extent`, an `Unexplained`, a `Special`,
    a string (a dtype by its name), None, or a tuple of those.

    `op` is the overload's name (``aten.mul.Tensor``). An operator with several results is
    followed by ``getitem`` nodes, whose arguments are the `Ref` and the position; its own
    `shape` is empty and `dtype` None.
    """

    name: str
    op: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = {}
    shape: tuple[Size, ...] = ()
    dtype: DType | None = None

    @field_validator("args", mode="after")
    @classmethod
    def _revive_args(cls, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(_revived(a) for a in args)

    @field_validator("kwargs", mode="after")
    @classmethod
    def _revive_kwargs(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {k: _revived(v) for k, v in kwargs.items()}


class Graph(Record):
    """A whole reference. `axes` are the sizes of the first trace, for a reader's orientation;
    shapes and arguments hold an `Extent` wherever a number follows from the axes."""

    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    axes: dict[str, int]
