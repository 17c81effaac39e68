"""The sizes that operators are told, from the shapes of what a program is given."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from kernelwright.core.errors import ProblemError
from kernelwright.core.graph import Extent, Unexplained
from kernelwright.core.problem import Problem
from kernelwright.problems.regions.wording import size_written
from kernelwright.problems.sizes import explain


def size_lines(
    problem: Problem, used: Collection[str], places: Mapping[str, str], names: Mapping[str, str]
) -> Iterator[str]:
    """An assignment for each axis of `problem` that is `used`.

    `places` are expressions of the axes that a shape has as they are, ``dim`` as ``x.shape[1]``;
    any other follows from these, as it does at each of the workloads. `names` are what axes are
    called.

    Raises:
        ProblemError: one of them does not.
    """
    said = {axis: place for axis, place in places.items() if axis in used}
    derived: dict[str, str] = {}
    for axis in problem.axes:
        if axis in used and axis not in said:
            found = _following(problem, axis, places)
            if isinstance(found, Extent):
                said |= {other: places[other] for other in (*found.axes, *found.over)}
            derived[axis] = size_written(found, names)
    for axis, place in (*said.items(), *derived.items()):
        yield f"{names[axis]} = {place}"


def _following(problem: Problem, axis: str, places: Mapping[str, str]) -> int | Extent:
    sizes = [{known: w.axes[known] for known in places} for w in problem.workloads]
    values = [w.axes[axis] for w in problem.workloads]
    found = explain(values, sizes) if sizes[0] else Unexplained(seen=())
    if isinstance(found, Unexplained):
        raise ProblemError(f"It is told the size {axis}, which nothing that it is given has.")
    return found if isinstance(found, Extent) else int(found)
