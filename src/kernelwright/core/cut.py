"""A program cut into regions, each of which may become a kernel; the rest stays torch.

`problems.outlining` says what the program is made of, `run.regions` cuts it and searches. Nothing
here needs torch.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kernelwright.core.graph import Graph
from kernelwright.core.problem import Source
from kernelwright.core.record import Record


class Seen(Record):
    """What the elements of a tensor were, on inputs of the file's own at its own sizes. `finite` is
    whether all were numbers; the rest is of those that were."""

    low: float
    high: float
    mean: float
    spread: float = Field(ge=0)
    finite: bool = True


class Outline(Record):
    """A program as whole operators: a norm or an attention is one node, as torch runs it.

    `seen` has every tensor of `graph` by name; `seconds` what each node took on this machine,
    started alone.
    """

    graph: Graph
    seen: dict[str, Seen]
    seconds: dict[str, float]


class Region(Record):
    """Nodes of an outline that become one kernel: a problem of its own.

    `reads` are the values that it is given and `makes` those that others need of it, in the order
    of the inputs and outputs of `source`. `sketches` draft it in `language`; `seconds` is what its
    nodes take in torch.
    """

    number: int = Field(ge=1)
    nodes: tuple[str, ...] = Field(min_length=1)
    ops: tuple[str, ...]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    language: str
    sketches: tuple[str, ...]
    seconds: float
    source: Source


class Uncovered(Record):
    """Nodes that stay torch, and why, as a sentence."""

    nodes: tuple[str, ...]
    ops: tuple[str, ...]
    reason: str
    seconds: float


class Cut(Record):
    """A whole program: its regions, in an order in which they can run, and what stays torch."""

    outline: Outline
    regions: tuple[Region, ...]
    torch: tuple[Uncovered, ...]


class RegionVerdict(Record):
    """What became of a region's own search. `folder` is that of its run, as seen from the whole's.

    A ``kernel`` is used in the whole: it is surely faster than eager torch, by `eager` (the median
    and the ends of its interval, None where nothing was timed). `reason` is a sentence.
    """

    number: int
    status: Literal["kernel", "torch"]
    reason: str
    folder: str
    language: str | None = None
    candidate_id: str | None = None
    eager: tuple[float, float, float] | None = None
