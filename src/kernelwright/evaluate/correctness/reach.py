"""Which sizes take a problem's tensors beyond 2^31 elements, and come there soon.

A kernel is called on them in different ways, and one of these is quick for almost any order in
which a kernel may walk through its tensors:

- *More rows*, along an axis that only ever comes first, such as a batch. With seven times 2^31
  elements in the largest tensor, of two or four threads that share the rows evenly one begins where
  an index has wrapped; for tensors down to a fifth of the largest another one does.
- *Just enough rows* that the last quarter of one tensor lies beyond: what walks through all of it
  before it does what is wrong has the least to walk through. Smaller tensors get their own call.
- *Longer rows*, along the axis that most elements lie next to each other on, with one thread. A
  walk down a column wraps after a few hundred steps, and workspaces that grow with the rows stay
  small. This needs a problem whose every axis is a constant of its file: another might be twice
  this one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from kernelwright.core.problem import ITEM_BYTES, Problem, TensorSpec
from kernelwright.evaluate.running.arena import PAGE

WRAP = 2**31
_MANY = 7 * WRAP
# The last of four threads begins just behind where an index wraps.
_JUST_ENOUGH = WRAP * 136 // 100
_MOST_TILE_BYTES = 64 << 20
PIECES = 20_000  # a process may have some 65,000 mappings


@dataclass(frozen=True)
class Reach:
    """Which axis is repeated and how often, and with how many threads it is called."""

    axis: str
    times: int
    threads: int

    def nbytes(self, spec: TensorSpec, axes: dict[str, int]) -> int:
        """The bytes of a tensor whose sizes are `axes` before the axis is repeated."""
        return max(self.elements(spec, axes) * ITEM_BYTES[spec.dtype], 1)

    def elements(self, spec: TensorSpec, axes: dict[str, int]) -> int:
        """The elements of such a tensor."""
        return spec.elements(axes) * (self.times if self.axis in spec.shape else 1)

    def tile_bytes(self, spec: TensorSpec, axes: dict[str, int], piece: int) -> int:
        """The tensor, as often as makes whole pages and `piece` bytes where it is repeated."""
        if self.axis not in spec.shape:
            return max(spec.nbytes(axes), 1)
        whole = _whole_pages(spec, axes)
        return whole * -(-piece // whole)


def reaches(problem: Problem) -> list[Reach]:
    """The ways to get beyond 2^31 elements by repeating tensors of the report, the best first."""
    many, long = _more_rows(problem), _longer_rows(problem)
    ways = [] if many is None else [Reach(many, _times(problem, many), 4)]
    if many is not None:
        ways += _just_enough(problem, many)
    if long and long != many:
        ways.append(Reach(long, _times(problem, long), 1))
    return ways


def _tensors(problem: Problem) -> tuple[TensorSpec, ...]:
    return (*problem.inputs, *problem.outputs)


def _more_rows(problem: Problem) -> str | None:
    """An axis of the outputs that comes first in every tensor that has it."""
    for axis in problem.axes:
        outputs = any(axis in spec.shape for spec in problem.outputs)
        later = any(axis in spec.shape[1:] for spec in _tensors(problem))
        if outputs and not later and _repeats(problem, axis):
            return axis
    return None


def _longer_rows(problem: Problem) -> str | None:
    """The axis that is the last one of most elements, when each axis is a constant of the file."""
    constants = {name for workload in problem.workloads for name in workload.constants}
    if not constants.issuperset(problem.axes):
        return None
    axes, elements = problem.report_workload.axes, Counter[str]()
    for spec in _tensors(problem):
        if len(spec.shape) > 1 and isinstance(spec.shape[-1], str):
            elements[spec.shape[-1]] += spec.elements(axes)
    return next((axis for axis, _ in elements.most_common() if _repeats(problem, axis)), None)


def _repeats(problem: Problem, axis: str) -> bool:
    """Whether the tensors that have `axis` have it once, and make whole pages of a size that can be
    held."""
    axes = problem.report_workload.axes
    return all(
        spec.shape.count(axis) == 1 and _whole_pages(spec, axes) <= _MOST_TILE_BYTES
        for spec in _tensors(problem)
        if axis in spec.shape
    )


def _whole_pages(spec: TensorSpec, axes: dict[str, int]) -> int:
    return math.lcm(max(spec.nbytes(axes), 1), PAGE)


def _times(problem: Problem, axis: str) -> int:
    return -(-_MANY // max(_sizes(problem, axis)))


def _sizes(problem: Problem, axis: str) -> list[int]:
    """The elements of the tensors that have `axis`, each number once, the largest first."""
    axes = problem.report_workload.axes
    sizes = {spec.elements(axes) for spec in _tensors(problem) if axis in spec.shape}
    return sorted(sizes, reverse=True)


def _just_enough(problem: Problem, axis: str) -> Iterator[Reach]:
    """One way for the largest tensor, and one for each that is so small that it does not wrap
    where `_MANY` elements of the largest do; as long as what is mapped can be held."""
    largest, *smaller = _sizes(problem, axis)
    for size in (largest, *(s for s in smaller if s * _MANY * 3 // 4 < largest * WRAP)):
        way = Reach(axis, -(-_JUST_ENOUGH // size), 4)
        axes = problem.report_workload.axes
        whole = sum(way.nbytes(spec, axes) for spec in _tensors(problem))
        if size > 1 and whole // PIECES <= _MOST_TILE_BYTES:
            yield way
